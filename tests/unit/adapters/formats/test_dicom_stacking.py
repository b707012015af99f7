"""Slices are put in order along their normal; the affine tells where they lie, and what does not fit is told."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simcrop.adapters.formats.dicom_slices import DicomSlice
from simcrop.adapters.formats.dicom_stacking import note_loss, stacked
from simcrop.core.data.problems import BadFileError, Problem

PATH = Path("series")


def at(height: float, *, frame: int = 0) -> DicomSlice:
    directions = np.array([[1.0, 0, 0], [0, 1, 0]])
    position = np.array([-100.0, -80, height])
    return DicomSlice(PATH / "a.dcm", "1.2", (4, 5), position, directions, (2, 3), 1, 0, 16, None, frame=frame)


def test_slices_are_ordered_and_checked_before_they_are_a_volume() -> None:
    seen: list[float] = []

    def check(slices: Sequence[DicomSlice], heights: np.ndarray) -> None:
        assert [one.position[2] for one in slices] == heights.tolist()
        seen.extend(heights)

    told: list[Problem] = []
    slices, affine = stacked(PATH, [at(10, frame=0), at(0, frame=1), at(5, frame=2)], check, told.append)
    assert [one.frame for one in slices] == [1, 2, 0]
    assert (seen, told) == ([0, 5, 10], [])
    np.testing.assert_allclose(affine, [[0, 0, -3, 100], [0, -2, 0, 80], [5, 0, 0, 0], [0, 0, 0, 1]])


def test_what_is_unlike_is_named_by_slice_and_difference() -> None:
    wide = replace(at(5, frame=1), spacing=(2, 4))
    with pytest.raises(BadFileError, match="holds frame 1 and frame 2, which has a spacing"):
        stacked(PATH, [at(0), wide], lambda slices, heights: None, lambda found: None)
    with pytest.raises(BadFileError, match="holds 1 slice"):
        stacked(PATH, [at(0)], lambda slices, heights: None, lambda found: None)


def test_loss_is_noted_once() -> None:
    told: list[Problem] = []
    note_loss(PATH, [at(0), replace(at(5), loss="JPEG-LS")], told.append)
    assert [(found.code, found.values["slices"]) for found in told] == [("content.lossy", 1)]
    note_loss(PATH, [at(0)], told.append)
    assert len(told) == 1
