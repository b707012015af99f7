"""`simcrop export`, as a stranger types it, and what it leaves."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.command import ENVIRONMENT, simcrop
from support.tiny_data import write_config

import simcrop as library
from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop_cli.__main__ import main

STEPS = ("train.steps=2", "train.warmup_steps=0", "train.checkpoint_every=2", "train.evaluate_every=2")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; tests only read it."""
    folder = tmp_path_factory.mktemp("export")
    threads = torch.get_num_threads()
    compose.train(load_config(write_config(folder), STEPS), out=folder / "run")
    torch.set_num_threads(threads)
    return folder / "run"


def test_export_then_load_in_another_process(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "exports" / "chest"
    done = simcrop("export", "--checkpoint", run, "--out", out, "--licence", "cc-by-nc-sa-4.0")
    assert done.returncode == 0, done.stderr
    assert f"{out}/model.safetensors" in done.stdout
    assert f'simcrop.load_encoder("{out}") load it' in done.stdout
    code = (
        "import sys, torch, simcrop; encoder = simcrop.load_encoder(sys.argv[1]); simcrop.load_model(sys.argv[1]);"
        "torch.save(encoder.encode(torch.arange(4096, dtype=torch.int16).view(1, 1, 16, 16, 16) - 2048), sys.argv[2])"
    )
    command = [sys.executable, "-c", code, "chest", str(tmp_path / "tokens.pt")]
    subprocess.run(command, check=True, cwd=out.parent, env=ENVIRONMENT)
    x = torch.arange(4096, dtype=torch.int16).view(1, 1, 16, 16, 16) - 2048
    expected = library.load_encoder(run).encode(x)
    torch.testing.assert_close(torch.load(tmp_path / "tokens.pt"), expected, rtol=0, atol=1e-6)


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    assert "Example: simcrop export --checkpoint" in capsys.readouterr().out


def test_formats_force_and_info(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "chest")
    for number, kind in enumerate(("simcrop", "authors", "monai", "simcrop")):
        force = ["--force"] if number else []
        assert main(["export", "--checkpoint", str(run), "--out", out, "--format", kind, *force]) == 0
        names = {path.name for path in Path(out).iterdir()}
        weights = {"simcrop": "model.safetensors", "authors": "simcrop.pth", "monai": "monai_vit.safetensors"}
        assert names & set(weights.values()) == {weights[kind]}
        capsys.readouterr()
        for path in (out, str(Path(out) / weights[kind])):
            status, told = main(["info", path]), capsys.readouterr()
            if kind == "simcrop":
                assert (status, "step 2 of 2" in told.out) == (0, True)
            elif kind == "authors":
                facts = dict(re.findall(r"^(.*?)  +(.*)$", told.out, re.MULTILINE))
                assert status == 0
                assert facts["checkpoint"] == f"{out}/simcrop.pth"
                assert facts["holds"].startswith("a vision encoder alone, for eval probe, knn, finetune and segment,")
                assert facts["step"] == "2"
                assert facts["volume"] == "(16, 16, 16) voxels of (2.0, 2.0, 2.0) mm, patches of (4, 4, 4)"
                assert facts["encoder"] == "24 wide, 1 blocks of 2 heads"
            else:
                assert status == 1
                assert told.err == (
                    f"simcrop: {path}: holds weights for MONAI's ViT, without the class token; load them as its "
                    "README.md says, or take the checkpoint that they were exported from\n"
                )
    assert main(["export", "--checkpoint", str(run), "--out", out]) == 1
    assert capsys.readouterr().err == f"simcrop: --out {out}: holds an earlier export; --force replaces it\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--checkpoint", "{tmp}/absent"], 1, "simcrop: {tmp}/absent: no such folder; name a run folder"),
        (["--checkpoint", "{run}/config.yaml"], 1, "simcrop: {run}/config.yaml: cannot be read"),
        (["--checkpoint", "{run}", "--private"], 2, "--private is for --push-to-hub"),
        (["--checkpoint", "{run}", "--format", "onnx"], 2, "'onnx' is not one of"),
    ],
    ids=["absent", "no weights", "private", "format"],
)
def test_mistakes(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, message: str
) -> None:
    filled = [argument.format(tmp=tmp_path, run=run) for argument in arguments]
    assert main(["export", "--out", str(tmp_path / "out"), *filled]) == status
    error = capsys.readouterr().err
    assert message.format(tmp=tmp_path, run=run) in error
    assert status == 2 or error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_upload(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made: list[tuple[str, bool | None]] = []
    sent: list[str] = []

    def create_repo(_: object, repo_id: str, *, private: bool | None, exist_ok: bool) -> object:
        made.append((repo_id, private))
        return type("Repository", (), {"repo_id": repo_id})

    def upload_folder(_: object, *, folder_path: Path, **options: object) -> str:
        sent.extend(path.name for path in Path(folder_path).iterdir())
        return "address of the commit"

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", create_repo)
    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", upload_folder)
    options = ["--push-to-hub", "somebody/chest", "--private"]
    assert main(["export", "--checkpoint", str(run), "--out", str(tmp_path / "out"), *options]) == 0
    assert made == [("somebody/chest", True)]
    assert sorted(sent) == [
        "README.md", "config.json", "manifest.json", "model.safetensors", "references.safetensors", "tokenizer"
    ]  # fmt: skip
    assert capsys.readouterr().out.rstrip().endswith("address of the commit")
    assert 'simcrop.load_encoder("somebody/chest")' in (tmp_path / "out" / "README.md").read_text()
