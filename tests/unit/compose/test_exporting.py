"""A run's model through every format and back, and what would be published on a hub."""

import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from support.hub_fake import point_to, serving
from support.tiny_data import SENTENCES, write_config

import simcrop
from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.export.formats import Format
from simcrop.adapters.export.monai_names import difference, patch_tokens
from simcrop.compose.exporting import export, publish
from simcrop.core.data.batch import padded
from simcrop.core.errors import CheckpointError
from simcrop.core.model.encoder import VisionEncoder

STEPS = ("train.steps=4", "train.warmup_steps=1", "train.checkpoint_every=2", "train.evaluate_every=2")
STEP = "checkpoints/step_00000004"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with two evaluations, one of them of other weights; tests only read it."""
    folder = tmp_path_factory.mktemp("exporting")
    threads = torch.get_num_threads()
    compose.train(load_config(write_config(folder), STEPS), out=folder / "run")
    torch.set_num_threads(threads)
    manifest = json.loads((folder / "run" / STEP / "manifest.json").read_text())
    about = {"fingerprint": manifest["data_fingerprint"], "num_train": 6, "num_held_out": 2}
    for name, sha256 in {"probe": manifest["files"]["model.safetensors"], "of_other_weights": "0" * 64}.items():
        content = {
            "task": "probe",
            "metrics": {
                "auroc": 0.8125,
                "per_class": {"Emphysema": {"auroc": 0.75}},
                "is_multilabel": True,
                "empty": None,
            },
            "warnings": ["Two patients are few."],
            "checkpoint": {"sha256": sha256},
            "data": about,
        }
        (folder / "run" / "eval" / name).mkdir(parents=True)
        (folder / "run" / "eval" / name / "metrics.json").write_text(json.dumps(content))
    return folder / "run"


def volume(encoder: VisionEncoder) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(-1200, 1500, (2, 1, *encoder.volume_size), dtype=torch.int16)


def assert_same(ours: VisionEncoder, theirs: VisionEncoder) -> None:
    assert theirs.recipe.grid == ours.recipe.grid
    assert theirs.recipe.input_windows == ours.recipe.input_windows
    assert (theirs.spacing_mm, theirs.window, theirs.volume_size) == (ours.spacing_mm, ours.window, ours.volume_size)
    for x in (volume(ours), volume(ours)[..., :8]):
        for normalized in (True, False):
            expected = ours.encode(x, normalized=normalized)
            torch.testing.assert_close(theirs.encode(x, normalized=normalized), expected, rtol=0, atol=1e-6)


def card(folder: Path) -> tuple[dict[str, Any], str]:
    """Front matter and text of the model card."""
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), text


def code_of(folder: Path) -> str:
    found = re.search(r"```python\n(.*?)```", card(folder)[1], re.DOTALL)
    assert found is not None
    return found[1]


def test_the_whole_model_comes_back_the_same(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "chest"
    export(run, out)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    own = {"README.md", "config.json", "manifest.json", "model.safetensors", "references.safetensors"}
    assert files == own | {f"tokenizer/{path.name}" for path in (run / STEP / "tokenizer").iterdir()}
    assert f'simcrop.load_model("{out}")' in capsys.readouterr().out
    source, model = compose.load_model(run), compose.load_model(out)
    assert model.tokenizer is not None
    assert source.tokenizer is not None
    assert model.tokenizer.identity == source.tokenizer.identity
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in model.state_dict().items())
    words = model.tokenizer.encode(list(SENTENCES[:2]), max_tokens=48)
    findings = padded([words], model.tokenizer.pad_id)
    assert torch.equal(model.sentence_features(findings, 2), source.sentence_features(findings, 2))
    assert source.references is not None
    assert model.references is not None
    assert torch.equal(model.references.patches, source.references.patches)
    assert_same(compose.load_encoder(run), compose.load_encoder(out))
    assert compose.checkpoint_identity(out)["sha256"] == compose.checkpoint_identity(run)["sha256"]


def test_every_format_of_a_format_is_the_same_encoder(run: Path, tmp_path: Path) -> None:
    ours = compose.load_encoder(run)
    export(run, tmp_path / "simcrop")
    export(tmp_path / "simcrop", tmp_path / "authors", kind="authors")
    export(tmp_path / "authors" / "simcrop.pth", tmp_path / "again", kind="authors")
    for path in ("authors", "authors/simcrop.pth", "again", "simcrop/model.safetensors"):
        assert_same(ours, compose.load_encoder(tmp_path / path))
    tensors = torch.load(tmp_path / "again" / "simcrop.pth", weights_only=True)["model"]
    assert tensors.keys() == ours.state_dict().keys()
    save_file(tensors, tmp_path / "alone.safetensors")
    alone = compose.load_encoder(tmp_path / "alone.safetensors", model={"num_heads": 2, "spacing_mm": (2.0, 2.0, 2.0)})
    assert_same(ours, alone)


def test_the_cards_code_loads_each_format(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("monai")
    ours = compose.load_encoder(run)
    x = volume(ours)
    found: dict[str, dict[str, Any]] = {}
    for kind in ("simcrop", "authors", "monai"):
        export(run, tmp_path / kind, kind=kind)
        found[kind] = {"volume": x}
        exec(code_of(tmp_path / kind), found[kind])
    torch.testing.assert_close(found["simcrop"]["tokens"], ours.encode(x), rtol=0, atol=1e-6)
    assert found["authors"]["weights"].keys() == ours.state_dict().keys()
    expected = patch_tokens(ours, x)
    assert (found["monai"]["tokens"] - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_the_cards_code_for_transformers_runs(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    export(run, tmp_path / "chest", kind="transformers")
    shutil.copy(run.parent / "studies" / "0.nii.gz", "scan.nii.gz")
    found: dict[str, Any] = {}
    exec("".join(re.findall(r"```python\n(.*?)```", card(tmp_path / "chest")[1], re.DOTALL)), found)
    assert found["tokens"].shape == (1, 65, 24)
    assert found["features"].shape == (1, 24)
    assert found["scores"].shape == (1, 2)


@pytest.mark.parametrize("kind", ["transformers", "monai-bundle"])
def test_what_others_run_is_not_loaded_as_a_model_of_ours(kind: Any, run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "chest", kind=kind)
    message = f"chest: is an export of the format {kind}, for other programs; load it as its README.md says, or take"
    for load in (compose.load_encoder, compose.load_model):
        with pytest.raises(CheckpointError, match=message):
            load(tmp_path / "chest")
    export(run, tmp_path / "chest", replace_export=True)
    assert compose.load_model(tmp_path / "chest").tokenizer is not None


def test_an_encoder_of_any_origin_is_carried_without_a_text_side(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "authors", kind="authors")
    export(tmp_path / "authors", tmp_path / "chest", kind="transformers")
    assert json.loads((tmp_path / "chest" / "config.json").read_text()).get("text_config") is None
    front, text = card(tmp_path / "chest")
    assert front["library_name"] == "transformers"
    assert "The vision encoder alone, with code that transformers runs without simcrop." in text
    assert "AutoTokenizer" not in text
    assert "The code in this folder is under the Apache License 2.0 (LICENSE)." in text


def test_several_windows_are_in_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("monai")
    windows = "model.windows=[[-1000, 1000], [-150, 250]]"
    compose.train(load_config(write_config(tmp_path), (*STEPS, windows)), out=tmp_path / "run")
    ours = compose.load_encoder(tmp_path / "run")
    assert ours.patch_embed.proj.weight.shape[1] == 2
    x = volume(ours)
    assert torch.equal(compose.load_model(tmp_path / "run").encoder.encode(x), ours.encode(x))
    for kind in ("simcrop", "authors", "monai"):
        export(tmp_path / "run", tmp_path / kind, kind=kind)
    for kind in ("simcrop", "authors"):
        assert_same(ours, compose.load_encoder(tmp_path / kind))
    assert json.loads((tmp_path / "simcrop" / "config.json").read_text())["model"]["windows"] == [
        [-1000.0, 1000.0],
        [-150.0, 250.0],
    ]
    found: dict[str, Any] = {"volume": x}
    exec(code_of(tmp_path / "monai"), found)
    expected = patch_tokens(ours, x)
    assert (found["tokens"] - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_the_monai_card_says_how_much_the_class_token_does(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "monai", kind="monai")
    share = re.search(r"for a phantom chest by ([\d.]+)%\s+of their length", card(tmp_path / "monai")[1])
    assert share is not None
    # Of another volume it is another figure, but of the same size.
    assert float(share[1]) / 100 == pytest.approx(
        difference(compose.load_encoder(run), volume(compose.load_encoder(run))), rel=2
    )
    with pytest.raises(CheckpointError, match="holds weights for MONAI's ViT"):
        compose.load_encoder(tmp_path / "monai")


def test_the_card_has_what_a_stranger_must_know(run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        export(run, tmp_path / "chest", licence="cc-by-nc-sa-4.0")
    front, text = card(tmp_path / "chest")
    assert (front["license"], front["library_name"]) == ("cc-by-nc-sa-4.0", "simcrop")
    assert "chest-ct" in front["tags"]
    manifest = json.loads((run / STEP / "manifest.json").read_text())
    summary = json.loads((run / "summary.json").read_text())
    for part in (
        "# chest",
        "pre-trained for 4 updates",
        manifest["files"]["model.safetensors"],
        manifest["data_fingerprint"],
        "Source: `manifest`.",
        "Studies: 6 to train on, 2 held out.",
        "| volume, voxels along right, front, head | 16 x 16 x 16 |",
        "| window, HU | -1000 to 1000, mapped to [-1, 1] |",
        f"| probe_auroc_untrained | {summary['probe_auroc_untrained']:.4g} |"
        if summary["probe_auroc_untrained"]
        else "",
        f"| validation_loss | {summary['validation_loss']:.4g} |",
        "`simcrop eval probe` (probe), on 2 held-out studies",
        "| auroc | 0.8125 |\n| per_class.Emphysema.auroc | 0.75 |",
        "Note: Two patients are few.",
        "It is not a medical device",
        "cc-by-nc-sa-4.0. The licence of the training data may bind the weights too",
    ):
        assert part in text, part
    assert "of_other_weights" not in text
    assert "of_other_weights/metrics.json: left out, it was not measured on these weights" in caplog.text


def test_an_unchosen_licence_is_said_so(run: Path, tmp_path: Path) -> None:
    export(run / "checkpoints" / "step_00000002", tmp_path / "earlier")
    front, text = card(tmp_path / "earlier")
    assert (front["license"], front["license_name"]) == ("other", "unspecified")
    assert "No licence was chosen" in text
    # The summary and the evaluation are of step 4.
    assert "Losses on held-out studies at this step" in text
    assert "At the end of the run" not in text
    assert "simcrop eval" not in text
    export(run, tmp_path / "named", licence="Licence of my hospital")
    assert card(tmp_path / "named")[0]["license_name"] == "licence-of-my-hospital"


def test_no_place_of_this_machine_is_in_an_export(run: Path, tmp_path: Path) -> None:
    for kind in get_args(Format):
        export(run, tmp_path / "out" / kind, kind=kind)
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert str(run.parent).encode() not in path.read_bytes(), path


def test_an_encoder_alone_is_no_whole_model(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "authors", kind="authors")
    with pytest.raises(CheckpointError, match="authors: holds a vision encoder alone; use load_encoder, or"):
        compose.load_model(tmp_path / "authors")
    remedy = "export its encoder with --format authors, monai, monai-bundle or transformers"
    with pytest.raises(CheckpointError, match=f"holds a vision encoder alone; {remedy}"):
        export(tmp_path / "authors", tmp_path / "whole")
    with pytest.raises(CheckpointError, match="says itself how its model is made; leave out `model`"):
        compose.load_encoder(run, model={"num_heads": 1})
    assert not (tmp_path / "whole").exists()


def test_a_damaged_export_is_not_loaded(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "chest")
    config = tmp_path / "chest" / "config.json"
    config.write_text(config.read_text().replace("16", "32"))
    for load in (simcrop.load_model, simcrop.load_encoder):
        with pytest.raises(CheckpointError, match=r"config\.json: damaged"):
            load(tmp_path / "chest")


def test_a_frozen_text_encoder_is_recorded_and_not_copied(run: Path, tmp_path: Path) -> None:
    from support.bert import write_bert

    write_bert(tmp_path / "bert", seed=0)
    options = [*STEPS, f"text_encoder.source={tmp_path / 'bert'}", "train.steps=2"]
    compose.train(load_config(run.parent / "tiny.yaml", options), out=tmp_path / "run")
    export(tmp_path / "run", tmp_path / "chest")
    assert not [
        name for name in load_file(tmp_path / "chest" / "model.safetensors") if name.startswith("text_encoder.")
    ]
    assert compose.load_model(tmp_path / "chest").text_encoder is not None
    write_bert(tmp_path / "bert", seed=1)
    with pytest.raises(CheckpointError, match="provide those"):
        compose.load_model(tmp_path / "chest")
    assert compose.load_encoder(tmp_path / "chest").recipe.embed_dim == 24


def test_identity_names_weights_and_step(run: Path, tmp_path: Path) -> None:
    manifest = json.loads((run / STEP / "manifest.json").read_text())
    expected = {"path": str(run), "step": 4, "sha256": manifest["files"]["model.safetensors"]} | {
        "data_fingerprint": manifest["data_fingerprint"]
    }
    assert compose.checkpoint_identity(run) == expected
    export(run, tmp_path / "authors", kind="authors")
    files = json.loads((tmp_path / "authors" / "manifest.json").read_text())["files"]
    identity = compose.checkpoint_identity(str(tmp_path / "authors"))
    known = {"path": str(tmp_path / "authors"), "step": 4, "sha256": files["simcrop.pth"]}
    assert identity == known | {"data_fingerprint": None}


def test_models_come_from_the_hub(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(run, tmp_path / "chest")
    export(run, tmp_path / "authors", kind="authors")
    models = {"somebody/chest": tmp_path / "chest", "somebody/authors": tmp_path / "authors"}
    ours = compose.load_encoder(run)
    with serving(models, monkeypatch, tmp_path / "cache"):
        assert_same(ours, simcrop.load_encoder("somebody/chest"))
        assert_same(ours, simcrop.load_encoder("somebody/authors"))
        assert simcrop.load_model("somebody/chest", revision="main").tokenizer is not None
        identity = compose.checkpoint_identity("somebody/chest")
    assert identity == compose.checkpoint_identity(run) | {"path": "somebody/chest"}


class FakeHub:
    """What `HfApi` would send."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
        self.made: list[tuple[str, bool | None]] = []
        self.kept = kept
        monkeypatch.setattr("huggingface_hub.HfApi.create_repo", self.create_repo)
        monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", self.upload_folder)

    def create_repo(self, repo_id: str, *, private: bool | None, **_: Any) -> Any:
        self.made.append((repo_id, private))
        return type("Repository", (), {"repo_id": repo_id})

    def upload_folder(self, *, repo_id: str, folder_path: Path, **_: Any) -> str:
        shutil.copytree(folder_path, self.kept / repo_id)
        return f"commit of {repo_id}"


@pytest.mark.parametrize("kind", get_args(Format))
def test_what_is_uploaded_is_the_export(kind: Any, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub, out = FakeHub(monkeypatch, tmp_path / "hub"), tmp_path / "chest"
    export(run, out, kind=kind, repo_id="somebody/chest-vit")
    assert publish(out, "somebody/chest-vit", private=True) == "commit of somebody/chest-vit"
    publish(out, "somebody/open", private=False)
    assert hub.made == [("somebody/chest-vit", True), ("somebody/open", None)]
    sent = tmp_path / "hub" / "somebody" / "chest-vit"
    assert {path.relative_to(sent): path.read_bytes() for path in sent.rglob("*") if path.is_file()} == {
        path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()
    }
    if kind == "monai-bundle":  # is a folder, not code that loads one
        assert "cd chest-vit\npython -m monai.bundle run" in card(sent)[1]
        return
    code = code_of(sent)
    compile(code, "the card", "exec")
    assert '"somebody/chest-vit"' in code


def test_a_refused_upload_leaves_the_export_and_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_to("http://127.0.0.1:9", monkeypatch, tmp_path / "cache")
    export(run, tmp_path / "chest")
    with pytest.raises(
        CheckpointError, match=r"^--push-to-hub somebody/chest: not uploaded \(.*\); log in with `hf auth"
    ):
        publish(tmp_path / "chest", "somebody/chest", private=False)
    assert (tmp_path / "chest" / "model.safetensors").is_file()
