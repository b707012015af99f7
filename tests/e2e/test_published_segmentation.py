"""The shipped settings of the paper's segmentations: what they are, and whole commands with them on tiny data sets."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.data_folders import SHAPE
from support.metaimages import write_mhd
from support.organ_data import EASY_HU, LPS, OBLIQUE, RAS, write_msd
from support.segmenting import options, read_json, segment

pytest.importorskip("monai", reason="MONAI is not installed")

from simcrop.adapters.config.settings import load_config

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = (
    "model.preset=tiny",
    "segment.roi_size=[24, 24, 12]",
    "segment.feature_size=2",
    "segment.crops_per_volume=2",
    "segment.hausdorff=false",
    "segment.steps=3",
    "segment.warmup_steps=1",
    "segment.evaluate_every=2",
    "evaluation.bootstrap=20",
    "train.threads=1",
)
"""Sizes and lengths alone: all that is left is as it is shipped."""


def write_luna(root: Path, number: int) -> None:
    """Volumes of three slabs of lung and trachea in LUNA16's layout, with their masks."""
    for index in range(number):
        values = np.zeros(SHAPE, np.uint8)
        values[2:6, 3:11, 2:8], values[10:14, 3:11, 2:8], values[7:9, 3:6, 2:8] = 3, 4, 5
        voxels = np.random.default_rng(index).normal(40, 20, SHAPE)
        voxels[values > 0] -= 850
        uid = f"1.3.6.1.4.1.14519.5.2.1.6279.6001.{100 + index}"
        write_mhd(root / f"subset{index % 10}" / f"{uid}.mhd", voxels.astype(np.int16))
        write_mhd(root / "seg-lungs-LUNA16" / f"{uid}.mhd", values, ElementType="MET_UCHAR")


@pytest.mark.parametrize(
    ("name", "lengths"), [("segment_btcv", (2000, 50, 50)), ("segment_luna16", (50, 49, 5))], ids=["btcv", "luna16"]
)
def test_the_settings_are_the_authors(tmp_path: Path, name: str, lengths: tuple[int, int, int]) -> None:
    settings = load_config(CONFIGS / f"{name}.yaml", [f"data.root={tmp_path}"]).segment
    assert (settings.counted_in, settings.steps, settings.warmup_steps, settings.evaluate_every) == ("epochs", *lengths)
    assert (settings.flip, settings.intensity_scale, settings.intensity_shift) == (0.2, 0.1, 0.1)
    assert (settings.intensity_probability, settings.dice_smoothing) == (0.1, (0.0, 1e-6))
    assert (settings.foreground, settings.background_above, settings.background_dice) == (True, 0.0, True)
    assert (settings.grad_clip, settings.patience, settings.optimizer) == (None, None, "adamw")
    assert (settings.batch_size, settings.crops_per_volume, settings.overlap) == (1, 16, 0.5)
    assert (settings.lr, settings.weight_decay, settings.roi_size) == (1e-4, 1e-5, (96, 96, 48))


def check(out: Path, num_learned: int) -> None:
    metrics = read_json(out / "metrics.json")["metrics"]
    rows = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    assert metrics["num_learned"] == num_learned
    assert [row["step"] for row in rows] == list(range(1, 3 * num_learned + 1)), "three passes over the volumes"
    scored = [row["step"] for row in rows if "selection_dice" in row]
    assert scored == [2 * num_learned, 3 * num_learned]
    rates = [row["lr"] for row in rows]
    assert rates[0] == 0
    assert max(rates) == rates[num_learned] == 1e-4, "the rate rises over the first pass"
    assert 0 < metrics["dice_with_background"]["value"] <= 1


def test_btcv_is_learned_and_measured(tmp_path: Path) -> None:
    write_msd(tmp_path / "data", [OBLIQUE, RAS, OBLIQUE, LPS, OBLIQUE], validation=2, hu_of=EASY_HU)
    data = (f"data.root={tmp_path / 'data'}", f"data.prepared={tmp_path / 'prepared'}")
    assert segment(CONFIGS / "segment_btcv.yaml", tmp_path / "out", *options(*data, *SMALL)) == 0
    check(tmp_path / "out", num_learned=2)


def test_luna16_is_learned_and_measured_and_the_network_cuts_what_it_is_given(tmp_path: Path) -> None:
    write_luna(tmp_path / "data", 6)
    data = (f"data.root={tmp_path / 'data'}", f"data.prepared={tmp_path / 'prepared'}", "segment.spacing_mm=[2, 2, 3]")
    config, out = CONFIGS / "segment_luna16.yaml", tmp_path / "out"
    assert segment(config, out, *options(*data, *SMALL)) == 0
    check(out, num_learned=3)
    metrics = read_json(out / "metrics.json")["metrics"]
    assert metrics["classes"] == ["background", "left_lung", "right_lung", "trachea"]
    again = (*options(*data, *SMALL, "segment.foreground=false"), "--checkpoint", str(out))
    assert segment(config, tmp_path / "again", *again) == 0
    assert read_json(tmp_path / "again" / "metrics.json")["metrics"] == metrics, "a network is used as it was trained"
