"""Segmentation through the command line: on a data set of MSD, on ground truth, measured again, and refused."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
import pytest
from support.organ_data import CLASSES, LPS, OBLIQUE, RAS, boxes, write_truth
from support.segmenting import MODEL, SHORT, msd_config, options, read_json, segment

from simcrop import compose
from simcrop.adapters.config.settings import load_config

pytest.importorskip("monai", reason="MONAI is not installed")


@pytest.fixture(scope="module")
def msd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return msd_config(tmp_path_factory.mktemp("msd"))


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration over a table of six volumes with organs beside it; of the two that are held out one has none."""
    folder = tmp_path_factory.mktemp("truth")
    manifest = write_truth(folder / "data", [RAS, LPS, OBLIQUE, RAS, LPS, RAS])
    path = folder / "truth.yaml"
    path.write_text(f"data: {{source: manifest, manifest: {manifest}, prepared: {folder}/prepared}}\n{MODEL}")
    return path


@pytest.fixture(scope="module")
def learned(msd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished segmentation from scratch; tests only read it."""
    out = tmp_path_factory.mktemp("learned") / "out"
    assert segment(msd, out) == 0
    return out


def test_organs_are_learned_and_everything_is_written(learned: Path) -> None:
    content = read_json(learned / "metrics.json")
    metrics = content["metrics"]
    assert metrics["per_class"]["bone"]["dice_own_grid"]["value"] > 0.7
    assert metrics["classes"] == list(CLASSES)
    assert [metrics["per_class"][name]["num_studies"] for name in CLASSES[1:]] == [2, 2]
    mean = np.mean([metrics["per_class"][name]["dice"]["value"] for name in CLASSES[1:]])
    value, low, high = metrics["dice"].values()
    assert value == pytest.approx(mean)
    assert low <= value <= high
    assert (metrics["num_learned"], metrics["num_selecting"], metrics["steps"]) == (2, 1, 50)
    assert content["config"]["segment"]["roi_size"] == [16, 16, 8]
    assert content["checkpoint"]["path"] is None
    rows = [json.loads(line) for line in (learned / "training.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 51))
    assert [row["step"] for row in rows if "selection_dice" in row] == [25, 50]
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    assert {path.name for path in (learned / "pictures").iterdir()} == {"worst.png", "best.png"}
    names = {path.name for path in learned.iterdir()} - {"page.html"}  # test_segment_page.py
    assert names == {"metrics.json", "predictions.csv", "pictures", "predictions", "segmenter", "training.jsonl"}


def test_predictions_overlay_their_files_and_their_dice_is_the_one_reported(learned: Path, msd: Path) -> None:
    with (learned / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["volume"], row["class"]) for row in rows[:2]] == [(rows[0]["study_id"], name) for name in CLASSES[1:]]
    assert len(rows) == 4
    for row in rows:
        image, written = (
            cast(Any, nib.load(path)) for path in (msd.parent / "data" / row["volume"], learned / row["file"])
        )
        assert written.shape == image.shape
        np.testing.assert_array_equal(written.affine, image.affine)
        predicted = np.asarray(written.dataobj)
        truth = boxes(int(row["volume"].removesuffix(".nii.gz")[-1]))[1]
        value = CLASSES.index(row["class"])
        common = ((predicted == value) & (truth == value)).sum()
        dice = 2 * common / ((predicted == value).sum() + (truth == value).sum())
        assert float(row["dice_own_grid"]) == pytest.approx(dice, abs=1e-4)


def test_the_network_is_measured_again_without_training(
    learned: Path, msd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "again/predictions/other.nii.gz"
    stale.parent.mkdir(parents=True)
    stale.touch()
    assert segment(msd, tmp_path / "again", "--checkpoint", str(learned)) == 0
    assert not stale.exists()
    assert not (tmp_path / "again" / "training.jsonl").exists()
    before, after = (read_json(out / "metrics.json") for out in (learned, tmp_path / "again"))
    assert after["metrics"] == before["metrics"]
    assert after["checkpoint"]["path"] == str(learned / "segmenter")
    assert (tmp_path / "again/predictions.csv").read_text() == (learned / "predictions.csv").read_text()
    assert "from scratch, 100 % of labels (2 studies)" in capsys.readouterr().out
    assert segment(msd, tmp_path / "other", "--checkpoint", str(learned), "--set", "segment.classes=[bone]") == 1
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("simcrop: segment.classes: 1 classes here (bone), and ")
    assert line.endswith("tells 2 apart (bone, organ); name those, or fine-tune on this data")


def test_a_finished_training_is_not_repeated_and_never_overwritten(
    learned: Path, msd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learned = shutil.copytree(learned, tmp_path / "copy")
    left = learned / "training" / "step_00000050"
    left.mkdir(parents=True)  # by a kill between the network and the clean-up
    weights = learned / "segmenter" / "model.safetensors"
    before, made = weights.stat().st_mtime_ns, (learned / "training.jsonl").read_text()
    assert segment(msd, learned, *options("segment.hausdorff=false", "segment.test_studies=1")) == 0
    assert read_json(learned / "metrics.json")["metrics"]["num_studies"] == 1
    assert (weights.stat().st_mtime_ns, (learned / "training.jsonl").read_text()) == (before, made)
    assert not left.exists()
    capsys.readouterr()
    assert segment(msd, learned, *options("segment.lr=0.01")) == 1
    assert "segment.lr: 0.01 differs from 0.02 in " in capsys.readouterr().err


def test_a_pretrained_encoder_on_ground_truth_with_half_of_the_labels(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compose.train(load_config(truth), out=tmp_path / "run")
    capsys.readouterr()
    classes = options("segment.classes=[bone, organ]", *SHORT)
    arguments = ("--checkpoint", str(tmp_path / "run"), "--labels", "50", *classes)
    assert segment(truth, tmp_path / "out", *arguments) == 0
    printed = capsys.readouterr().out
    assert "Segmentation, pre-trained, 50 % of labels (1 studies)" in printed
    assert "note: 1 of 6 studies have no masks and are left out" in printed
    content = read_json(tmp_path / "out" / "metrics.json")
    assert {key: content["metrics"][key] for key in ("num_learned", "num_selecting", "num_studies")} == {
        "num_learned": 1,
        "num_selecting": 1,
        "num_studies": 1,
    }
    assert content["checkpoint"]["sha256"] == compose.checkpoint_identity(tmp_path / "run")["sha256"]
    assert segment(truth, tmp_path / "out", *options("segment.classes=[bone, organ]", *SHORT)) == 1
    assert "--checkpoint: None differs from " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "segment.classes=[bone, liver]"], "dataset.json has no 'liver'; it has bone, organ"),
        (["--set", "segment.roi_size=[16, 20, 8]"], "segment.roi_size: 20 is not divisible by the model's patch_size"),
        (["--labels", "30"], "labels.percent: 30 % of 3 patients outside the test set are 1"),
        (["--checkpoint", "nowhere"], "nowhere: "),
        (["--set", "segment.steps=0"], "segment.steps: 0 is below 1"),
    ],
)
def test_errors_are_one_line(
    msd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert segment(msd, tmp_path / "out", *arguments) == 1
    [line] = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_held_out_studies_without_masks_are_one_line(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = truth.parent / "data" / "few.csv"
    lines = (truth.parent / "data" / "studies.csv").read_text().splitlines()
    table.write_text("\n".join([*lines[:4], lines[-1]]))
    assert segment(truth, tmp_path / "out", *options(f"data.manifest={table}", "segment.classes=[bone]")) == 1
    error = capsys.readouterr().err
    assert "data: none of the 1 held-out studies (of 4) has masks of organs; see docs/ground_truth.md" in error
