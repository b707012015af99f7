"""Files that commit 9c9e74b wrote load as they did there: a run, a stopped run, prepared volumes, a classifier.

The archive holds what these commands wrote on torch 2.13.0, on 40 small studies:

    simcrop train labelled.yaml --out whole
    simcrop train labelled.yaml --out begun                      stopped after step 25 of 60
    simcrop eval finetune labelled.yaml --checkpoint whole --labels 100 --out finetuned

and, in tokens.json, what `simcrop.load_encoder("whole")` made of one volume.
"""

import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import simcrop
from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.compose.evaluation.finetune import finetune

pytestmark = pytest.mark.usefixtures("one_thread")
ARCHIVE = Path(__file__).with_name("made_by_9c9e74b.tar.gz")
GRID = "grid_8add2cc64b77bf54"
SECONDS = 1_790_000_000
"""When the studies were last written, as the prepared volumes remember."""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The archive's folder, and the current one: its configuration names the data relative to it."""
    shutil.unpack_archive(ARCHIVE, tmp_path)
    assert (tmp_path / "studies" / "0.nii.gz").stat().st_mtime_ns == SECONDS * 10**9
    (tmp_path / "prepared" / GRID).rename(tmp_path / "prepared" / grid_folder(tmp_path / "studies"))
    run = tmp_path / "labelled.yaml"
    run.write_text(run.read_text().replace("labels: {bootstrap: 50}", "evaluation: {bootstrap: 50}"))  # renamed in 0.2
    monkeypatch.chdir(tmp_path)
    return tmp_path


def grid_folder(studies: Path) -> str:
    """What 9c9e74b calls the folder of the prepared volumes of studies at this place."""
    grid = {"spacing_mm": [2.0, 2.0, 2.0], "size": [10, 10, 10]}
    parts = [2, f"manifest {studies} padding_value=None", [-1024, 3071], grid]
    return f"grid_{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"


def digest(model: nn.Module) -> str:
    """SHA-256 over names and bits of all weights, sorted by name."""
    total = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        total.update(name.encode() + value.detach().contiguous().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_model_has_the_same_weights(made: Path) -> None:
    assert digest(simcrop.load_model("whole")) == "376891de148eafe5b72b38a202385dac5227449046083b1678ba312d1305dec0"


def test_an_encoder_has_the_same_features(made: Path) -> None:
    volume = ((torch.arange(512) * 37) % 1400 - 1000).reshape(1, 1, 8, 8, 8).to(torch.int16)
    tokens = simcrop.load_encoder("whole").encode(volume)
    expected = torch.tensor(json.loads((made / "tokens.json").read_text())["tokens"]).reshape(1, 9, 12)
    torch.testing.assert_close(tokens, expected)


def test_prepared_volumes_are_used_as_they_are(made: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in made.glob("prepared/*/*")}
    data = compose.prepare(load_config(made / "labelled.yaml"))
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in made.glob("prepared/*/*")} == before
    assert len(before) == 41
    voxels = hashlib.sha256()
    for study in [*data.train, *data.held_out]:
        voxels.update(data.prepared.read(study.reconstructions[0]).numpy().tobytes())
    assert voxels.hexdigest() == "d904d19852f286f1c1bb5a5e41e55f48d0ddd1b3cd8409ca12492218ec39b5c7"


def test_a_stopped_run_continues_as_if_it_had_not_been(made: Path) -> None:
    result = compose.train(load_config(made / "labelled.yaml"), out=Path("begun"))
    assert (result.step, result.finished) == (60, True)
    got, expected = rows(Path("begun/metrics.jsonl")), rows(Path("whole/metrics.jsonl"))
    assert [row["step"] for row in got] == list(range(1, 61))
    for row, other in zip(got, expected, strict=True):
        for key in other.keys() - {"studies_per_second", "data_wait"}:  # a row may have gained some since
            assert row[key] == pytest.approx(other[key], rel=1e-3), (row["step"], key)


def test_a_fine_tuned_classifier_gives_the_same_probabilities(made: Path) -> None:
    config = load_config(made / "labelled.yaml", overrides=["finetune.steps=0"])
    assert finetune(config, checkpoint="finetuned", out=Path("again"))
    with Path("again/predictions.csv").open() as again, Path("finetuned/predictions.csv").open() as expected:
        for row, other in zip(csv.DictReader(again), csv.DictReader(expected), strict=True):
            assert float(row.pop("score")) == pytest.approx(float(other.pop("score")), rel=1e-5)
            assert row == other


def test_a_finished_fine_tuning_is_not_done_again(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load_config(made / "labelled.yaml", overrides=["labels.percent=100"])
    assert finetune(config, checkpoint="whole", out=Path("finetuned"))
    assert "trained by an earlier call of the same configuration" in capsys.readouterr().out
