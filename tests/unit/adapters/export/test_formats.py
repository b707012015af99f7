"""Export folders: whole or not at all, and nothing of one machine in them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny import MODEL

from simcrop.adapters.checkpoints.migrations import VERSION
from simcrop.adapters.config.run import DataSettings, RunConfig
from simcrop.adapters.config.settings import as_tree, as_yaml, config_from_tree
from simcrop.adapters.export.formats import check_target, without_places, write_authors, write_whole
from simcrop.adapters.system.files import sha256_of
from simcrop.core.errors import CheckpointError
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.reference import REFERENCE


def write_text(text: str) -> Any:
    def write(folder: Path) -> None:
        (folder / "tokenizer").mkdir()
        (folder / "tokenizer" / "words.txt").write_text(text)

    return write


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_lists_its_files_with_their_hashes(tmp_path: Path) -> None:
    out = tmp_path / "new" / "export"
    check_target(out, replace_export=False)
    write_whole(out, write_text("lung"), {"format": "simcrop", "step": 3})
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest == {
        "format": "simcrop",
        "step": 3,
        "version": VERSION,
        "files": {"tokenizer/words.txt": sha256_of(out / "tokenizer/words.txt")},
    }
    assert [path.name for path in out.parent.iterdir()] == ["export"]


def test_an_earlier_export_goes_by_force_alone(tmp_path: Path) -> None:
    out = tmp_path / "export"
    out.mkdir()
    check_target(out, replace_export=False)
    write_whole(out, write_text("first"), {"format": "simcrop"})
    with pytest.raises(CheckpointError, match=r"--out .*export: holds an earlier export; --force replaces it"):
        check_target(out, replace_export=False)
    check_target(out, replace_export=True)
    write_whole(out, write_text("second"), {"format": "simcrop"})
    assert content(out)["tokenizer/words.txt"] == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


@pytest.mark.parametrize("force", [False, True])
def test_what_no_export_wrote_is_never_replaced(tmp_path: Path, force: bool) -> None:
    out = tmp_path / "export"
    write_whole(out, write_text("first"), {"format": "simcrop"})
    (out / "notes.md").write_text("mine")
    with pytest.raises(CheckpointError, match=r"holds notes\.md, which no export wrote; name another folder"):
        check_target(out, replace_export=force)
    checkpoint = tmp_path / "step_00000003"
    write_whole(checkpoint, write_text("a checkpoint has a manifest too"), {"step": 3})
    with pytest.raises(CheckpointError, match=r"holds manifest\.json, which no export wrote"):
        check_target(checkpoint, replace_export=force)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="is a file; name a folder"):
        check_target(tmp_path / "file", replace_export=force)


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_earlier_export_and_no_draft(tmp_path: Path, error: BaseException) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("a part")
        raise error

    out = tmp_path / "export"
    write_whole(out, write_text("first"), {"format": "simcrop"})
    before = content(out)
    raised = CheckpointError if isinstance(error, OSError) else type(error)
    with pytest.raises(raised):
        write_whole(out, fail, {"format": "simcrop"})
    assert content(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_an_earlier_export_comes_back_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, rename = tmp_path / "export", Path.rename

    def refuse_draft(self: Path, target: Path) -> Path:
        if self.name.endswith(".draft"):
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    write_whole(out, write_text("first"), {"format": "simcrop"})
    before = content(out)
    monkeypatch.setattr(Path, "rename", refuse_draft)
    with pytest.raises(CheckpointError, match=r"--out .*export: cannot be written \(.*Permission denied"):
        write_whole(out, write_text("second"), {"format": "simcrop"})
    assert content(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_a_published_configuration_names_no_place_and_no_volume() -> None:
    data = DataSettings(
        source="ct_rate",
        root=Path("/secret/place/CT-RATE"),
        manifest=Path("/secret/place/studies.csv"),
        prepared=Path("/secret/place/prepared"),
        quarantine=("train_secret_a",),
        exclude=Path("/secret/place/secret_list.txt"),
    )
    config = RunConfig(data=data, model=replace(RunConfig().model, init="/secret/place/mae.pth"))
    public = without_places(config)
    assert "secret" not in as_yaml(public)
    assert (public.data.quarantine, public.data.exclude) == ((), None)
    assert (public.data.root, public.model.init) == (Path("CT-RATE"), "mae.pth")
    assert public.objectives == config.objectives
    again = config_from_tree(as_tree(public), "config.json")
    assert again.model == public.model


def test_a_file_for_the_authors_code_needs_no_pickled_class(tmp_path: Path) -> None:
    encoder = VisionEncoder(replace(MODEL, init="/secret/place/mae.pth"), REFERENCE)
    write_authors(tmp_path, encoder, 12)
    tree = torch.load(tmp_path / "simcrop.pth", weights_only=True)
    assert list(tree) == ["model", "simcrop"]
    assert list(tree["model"]) == list(encoder.state_dict())
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"} <= tree["model"].keys()
    assert (tree["simcrop"]["step"], tree["simcrop"]["model"]["init"]) == (12, "mae.pth")
