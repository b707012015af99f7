"""A fine-tuned classifier before every command: an encoder, and no model that reads sentences."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import labelled_data

from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.evaluation.classification.files import fine_tuned
from simcrop.adapters.system.provenance import weights_sha256
from simcrop.compose.evaluation.finetune import finetune
from simcrop.compose.exporting import export
from simcrop.core.errors import CheckpointError
from simcrop_cli.__main__ import main

pytestmark = pytest.mark.usefixtures("one_thread")
NO_TEXT = "holds a fine-tuned classifier, no text side; "


@dataclass(frozen=True)
class Made:
    """A configuration, a run of two steps, and a classifier that was fine-tuned from it."""

    config: Path
    run: Path
    tuned: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("tuned")
    yaml = labelled_data.write_config(folder / "data")
    compose.train(load_config(yaml), out=folder / "run")
    assert finetune(load_config(yaml), checkpoint=str(folder / "run"), out=folder / "tuned")
    return Made(yaml, folder / "run", folder / "tuned")


@pytest.mark.parametrize("kind", ["authors", "monai", "transformers", "monai-bundle"])
def test_its_encoder_is_exported_and_the_card_says_so(made: Made, tmp_path: Path, kind: Any) -> None:
    out = tmp_path / kind
    export(made.tuned, out, kind=kind)
    text = (out / "README.md").read_text()
    start = compose.checkpoint_identity(made.run)["sha256"]
    step = compose.checkpoint_identity(made.tuned)["step"]
    for part in (
        f"fine-tuned from other weights (sha256 `{start}`) for {step} updates to tell Bright, Noise, Rare, with",
        "The head of the classifier was left out.",
        "| steps, batch | 12 planned, 8 studies |",
        "With its head, on the patients by whom the step was chosen:",
    ):
        assert part in text, part
    assert "pre-trained" not in text
    assert "The whole model" not in text
    assert not {"classifier", "settings"} & json.loads((out / "manifest.json").read_text()).keys()
    for path in (path for path in out.rglob("*") if path.is_file()):
        assert str(made.config.parent.parent).encode() not in path.read_bytes(), path


def test_the_export_is_an_encoder_for_every_command(made: Made, tmp_path: Path) -> None:
    export(made.tuned, tmp_path / "authors", kind="authors")
    for path in (made.tuned, tmp_path / "authors"):
        assert weights_sha256(compose.load_encoder(path)) == weights_sha256(compose.load_encoder(made.tuned))
    assert fine_tuned(tmp_path / "authors") is None
    with pytest.raises(CheckpointError, match="authors: holds a vision encoder alone; use load_encoder, or"):
        compose.load_model(tmp_path / "authors")
    options = ["finetune.steps=2", "finetune.evaluate_every=2"]
    assert finetune(load_config(made.config, options), checkpoint=str(tmp_path / "authors"), out=tmp_path / "again")


def test_it_is_no_whole_model(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    remedy = "use load_encoder, or name the run that it comes from"
    for path in (made.tuned, made.tuned / "checkpoints", next((made.tuned / "checkpoints").glob("step_*"))):
        with pytest.raises(CheckpointError) as error:
            compose.load_model(path)
        assert str(error.value) == f"{path}: {NO_TEXT}{remedy}"
    checkpoint = ["--checkpoint", str(made.tuned), "--out", "out"]
    volume = made.config.parent / "studies" / "0.nii.gz"
    commands = {
        "zeroshot": ["eval", "zeroshot", str(made.config), *checkpoint],
        "retrieval": ["eval", "retrieval", str(made.config), *checkpoint],
        "locate": ["locate", "--volume", str(volume), "--sentence", "The heart.", *checkpoint[:2], "--out", "a.png"],
        "export": ["export", *checkpoint],
        "train": ["train", str(made.config), "--resume", str(made.tuned), "--out", "out"],
    }
    remedies = {
        "export": "export its encoder with --format authors, monai, monai-bundle or transformers",
        "train": "choose another --out, and start from its encoder with model.init",
    }
    for name, command in commands.items():
        capsys.readouterr()
        assert main(command) == 1, name
        where = next((made.tuned / "checkpoints").glob("step_*")) if name == "train" else made.tuned
        assert capsys.readouterr().err == f"simcrop: {where}: {NO_TEXT}{remedies.get(name, remedy)}\n"
    assert [path.name for path in tmp_path.rglob("*")] == ["out"], "made for eval, and nothing in it"


def test_the_state_that_a_kill_left_beside_a_finished_classifier_goes(made: Made, tmp_path: Path) -> None:
    options = ["finetune.steps=2", "finetune.evaluate_every=2", "evaluation.bootstrap=2"]
    config, out = load_config(made.config, options), tmp_path / "out"
    assert finetune(config, checkpoint=str(made.run), out=out)
    left = out / "training" / "step_00000002"
    left.mkdir(parents=True)
    assert finetune(config, checkpoint=str(made.run), out=out)
    assert not (out / "training").exists()


def test_info_says_what_it_is(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(made.tuned)]) == 0
    facts = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    step = compose.checkpoint_identity(made.tuned)["step"]
    holds = f"a classifier of Bright, Noise, Rare, fine-tuned for {step} steps; no text side"
    assert facts["holds"].strip() == holds
    assert facts["run"].strip() == "labelled, seed 0"
    assert "text encoder" not in facts
