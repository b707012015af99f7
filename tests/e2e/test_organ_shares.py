"""Organ shares from the command line: masks as TotalSegmentator writes them, checked, prepared and learned from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from support.command import simcrop
from support.data_folders import write_volume
from support.tiny_data import write_config

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
STRUCTURES = {"lung_upper_lobe_left": slice(2, 8), "lung_lower_lobe_left": slice(8, 12), "heart": slice(10, 15)}
CLOCK = {"studies_per_second", "data_wait"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight studies, of which the last, which is held out, and the first have no masks."""
    folder = tmp_path_factory.mktemp("organs")
    write_config(folder)
    for number in range(1, 7):
        for name, where in STRUCTURES.items():
            mask = np.zeros((20, 20, 20), np.uint8)
            mask[where, 4:16, 3 + number : 14] = 1
            write_volume(folder / "masks" / str(number) / f"{name}.nii.gz", mask, AFFINE)
    return folder


def options(folder: Path, *more: str) -> list[str]:
    settings = (
        "objectives.organ_shares.weight=0.5",
        f"data.organ_masks={folder / 'masks'}",
        "train.steps=4",
        "train.warmup_steps=0",
        "train.evaluate_every=2",
        "train.checkpoint_every=2",
        "train.accumulate=1",
        *more,
    )
    return [part for setting in settings for part in ("--set", setting)]


def rows(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in CLOCK} for line in lines]


def test_a_run_learns_shares_of_organs_and_goes_on_where_it_was_stopped(folder: Path) -> None:
    config, whole, parts = folder / "tiny.yaml", folder / "whole", folder / "parts"
    prepared = simcrop("data", "prepare", config, *options(folder))
    assert prepared.returncode == 0, prepared.stderr
    assert "masks of organs: 6 of 8 volumes have some" in prepared.stderr
    arrays = {path: path.stat().st_mtime_ns for path in (folder / "prepared").glob("organs_of_*/*.npy")}
    assert len(arrays) == 6
    done = simcrop("train", config, "--out", whole, *options(folder))
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in arrays} == arrays
    assert "organ_shares 0." in done.stdout + done.stderr
    found = rows(whole)
    assert all(0 < row["loss_organ_shares"] < 1 for row in found)
    assert found[0]["loss_organ_shares"] == pytest.approx(np.log(2), rel=1e-5)
    assert found[-1]["loss_organ_shares"] < found[0]["loss_organ_shares"]
    assert 0 < found[1]["validation_loss_organ_shares"] < 1
    # The first two steps of four, from a checkpoint of the same run, and the rest.
    started = simcrop("train", config, "--out", parts, "--resume", str(whole / "checkpoints/step_00000002"),
                      *options(folder))  # fmt: skip
    assert started.returncode == 0, started.stderr
    assert rows(parts) == found[2:]
    weights = [load_file(run / "checkpoints/step_00000004/model.safetensors") for run in (whole, parts)]
    assert weights[0]["organ_shares.weight"].shape == (9, 24)
    assert all((value == weights[1][name]).all() for name, value in weights[0].items())
    changed = simcrop("train", config, "--out", whole, *options(folder, "objectives.organ_shares.classes={a: [heart]}"))
    assert changed.returncode == 1
    assert "objectives.organ_shares.classes: {'a': ['heart']} differs from {}" in changed.stderr


def test_the_check_names_masks_of_another_geometry(folder: Path) -> None:
    masks = folder / "masks" / "1"
    good = (masks / "heart.nii.gz").read_bytes()
    far = AFFINE.copy()
    far[:3, 3] = 400
    write_volume(masks / "heart.nii.gz", np.ones((20, 20, 20), np.uint8), far)
    try:
        report = folder / "problems.jsonl"
        checked = simcrop("data", "check", folder / "tiny.yaml", "--report", report, *options(folder))
        assert checked.returncode == 1
        found = [json.loads(line) for line in report.read_text().splitlines()]
        assert [
            (Path(row["file"]).parent.name, row["severity"]) for row in found if row["code"] == "masks.elsewhere"
        ] == [("1", "error")]
        off = simcrop("data", "check", folder / "tiny.yaml", "--report", report, *options(
            folder, "objectives.organ_shares.weight=0"))  # fmt: skip
        assert "masks." not in off.stdout
        refused = simcrop("train", folder / "tiny.yaml", "--out", folder / "refused", *options(folder))
        assert refused.returncode == 1
        assert "heart.nii.gz: lies wholly outside the prepared volume" in refused.stderr
    finally:
        (masks / "heart.nii.gz").write_bytes(good)
