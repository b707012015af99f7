"""Boxes of foreground, and what is done to a region before a network learns from it."""

from typing import Any

import pytest
import torch
from torch import Tensor

from simcrop.core.evaluation.segment_regions import changed_region, foreground_box
from simcrop.core.evaluation.segment_settings import SegmentSettings
from simcrop.core.randomness import generator

WINDOW = (-1000.0, 1000.0)


def region() -> Tensor:
    """HU 0 to 23 times 50, less 500; and the number of each voxel as its class."""
    numbers = torch.arange(24, dtype=torch.int16).reshape(2, 3, 4)
    return torch.stack([numbers * 50 - 500, numbers])


def changed(seed: int = 0, window: tuple[float, float] = WINDOW, **settings: Any) -> Tensor:
    return changed_region(region(), SegmentSettings(**settings), window, generator(seed))


def test_the_box_of_the_foreground_holds_all_above_the_middle_of_the_window() -> None:
    voxels = torch.full((5, 6, 7), -1000, dtype=torch.int16)
    voxels[1, 4, 2], voxels[3, 2, 6], voxels[0, 0, 0] = 1, 40, 0
    assert foreground_box(voxels, WINDOW) == (slice(1, 4), slice(2, 5), slice(2, 7))
    assert foreground_box(voxels, (-100.0, 0.0)) == (slice(0, 4), slice(0, 5), slice(0, 7))


def test_a_volume_without_foreground_is_taken_whole() -> None:
    voxels = torch.full((2, 2, 2), -900, dtype=torch.int16)
    assert voxels[foreground_box(voxels, WINDOW)].shape == (2, 2, 2)


def test_by_default_a_region_stays_as_it_is() -> None:
    assert all(torch.equal(changed(seed), region()) for seed in range(20))


def test_voxels_and_classes_are_flipped_together() -> None:
    assert torch.equal(changed(flip=1.0), region().flip(1, 2, 3))
    found = [changed(seed, flip=0.2) for seed in range(1000)]
    assert all(torch.equal(each[0], each[1] * 50 - 500) for each in found)
    for axis in range(3):
        first = region()[1].flip(axis).unbind(axis)[0].unique()
        share = sum(torch.equal(each[1].unbind(axis)[0].unique(), first) for each in found) / len(found)
        assert share == pytest.approx(0.2, abs=0.04), axis


def test_windowed_values_are_scaled() -> None:
    always: dict[str, Any] = {"intensity_scale": 0.1, "intensity_probability": 1.0}
    factors = []
    for seed in range(200):
        found = changed(seed, **always)
        assert torch.equal(found[1], region()[1])
        factors.append(float((found[0].float() * region()[0]).sum() / region()[0].float().square().sum()))
        torch.testing.assert_close(found[0].float(), factors[-1] * region()[0], atol=1.0, rtol=0)
    assert 0.899 < min(factors) < 0.92
    assert 1.08 < max(factors) < 1.101
    assert sum(factors) / 200 == pytest.approx(1, abs=0.02)


def test_windowed_values_are_shifted() -> None:
    shifts = []
    for seed in range(200):
        moved = changed(seed, intensity_shift=0.1, intensity_probability=1.0)[0] - region()[0]
        assert moved.max() - moved.min() <= 1
        shifts.append(float(moved.float().mean()))
    assert -100 <= min(shifts) < -80
    assert 80 < max(shifts) <= 100


def test_what_the_window_cuts_off_is_cut_off_before_it_is_changed() -> None:
    found = changed(1, (-200.0, 200.0), intensity_scale=0.5, intensity_probability=1.0)[0]
    factor = float(found.max()) / 200
    assert factor != 1
    torch.testing.assert_close(found.float(), factor * region()[0].clamp(-200, 200), atol=0.6, rtol=0)


def test_each_change_of_intensity_has_its_chance() -> None:
    settings = {"intensity_scale": 0.1, "intensity_shift": 0.1, "intensity_probability": 0.1}
    zero = [int(changed(seed, **settings)[0].flatten()[10]) for seed in range(1000)]  # 0 HU: scaling leaves it
    others = [torch.equal(changed(seed, **settings), region()) for seed in range(1000)]
    assert sum(value != 0 for value in zero) / 1000 == pytest.approx(0.1, abs=0.03)
    assert sum(others) / 1000 == pytest.approx(0.81, abs=0.04)
