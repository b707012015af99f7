"""Frames of more than one volume are refused, and what tells the volumes apart is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from support.dicom_enhanced import CONTENT, KIND, POSITION, Macros, at, write_enhanced
from support.dicom_series import HU

from simcrop.adapters.formats.dicom_stacks import refuse_several
from simcrop.adapters.formats.opening import read_volume
from simcrop.core.data.problems import BadFileError, Problem

HALF = len(HU) // 2


def refusal(
    path: Path, own: Callable[[int], Macros], change: Callable[[Any], object] = lambda dataset: None
) -> Problem:
    write_enhanced(path, own=own, change=change)
    with pytest.raises(BadFileError) as refused:
        read_volume(path)
    return refused.value.problem


def twice(macro: str, element: str, values: tuple[Any, Any]) -> Callable[[int], Macros]:
    """Every place twice, with an element that differs."""
    return lambda number: {**at(number % HALF), macro: {element: values[number // HALF]}}


@pytest.mark.parametrize(
    ("own", "says"),
    [
        (twice(CONTENT, "TemporalPositionIndex", (1, 2)), "differ by phase (TemporalPositionIndex 1, 2)"),
        (twice(CONTENT, "FrameAcquisitionNumber", (4, 5)), "differ by acquisition (FrameAcquisitionNumber 4, 5)"),
        (
            twice(KIND, "FrameType", (["ORIGINAL"], ["DERIVED"])),
            "differ by kind of frame (FrameType ORIGINAL, DERIVED)",
        ),
        (twice(CONTENT, "StackID", ("1", "2")), "holds 2 stacks of frames (StackID 1, 2)"),
        (lambda number: at(number % HALF), "has frames 1 and 6 at one place, and nothing tells them apart"),
    ],
)
def test_what_was_taken_twice_of_one_place(tmp_path: Path, own: Callable[[int], Macros], says: str) -> None:
    found = refusal(tmp_path / "a.dcm", own)
    assert (found.code, says in found.message) == ("container.stacks", True), found.message


def test_stacks_at_places_of_their_own(tmp_path: Path) -> None:
    def own(number: int) -> Macros:
        return {**at(number), CONTENT: {"StackID": str(number // HALF)}}

    assert refusal(tmp_path / "a.dcm", own).code == "container.stacks"


def test_a_dimension_that_the_file_describes(tmp_path: Path) -> None:
    def own(number: int) -> Macros:
        return {**at(number % HALF), CONTENT: {"DimensionIndexValues": [1 + number % HALF, 1 + number // HALF]}}

    def described(dataset: Any) -> None:
        place, energy = Dataset(), Dataset()
        place.DimensionIndexPointer, energy.DimensionIndexPointer = 0x00200032, 0x00180060
        dataset.DimensionIndexSequence = [place, energy]

    found = refusal(tmp_path / "a.dcm", own, described)
    assert "differ by a dimension (KVP 1, 2)" in found.message


def test_times_that_differ_from_frame_to_frame_are_no_phases(tmp_path: Path) -> None:
    write_enhanced(
        tmp_path / "a.dcm",
        own=lambda number: {**at(number), CONTENT: {"TemporalPositionIndex": number, "StackID": "1"}},
    )
    assert read_volume(tmp_path / "a.dcm").voxels.shape[2] == len(HU)


def test_places_a_micrometre_apart_are_one(tmp_path: Path) -> None:
    def own(number: int) -> Macros:
        return {POSITION: {"ImagePositionPatient": [-100, -80, 5 * (number % HALF) + number * 1e-5]}}

    assert refusal(tmp_path / "a.dcm", own).code == "container.stacks"


def test_no_frames_are_no_stacks() -> None:
    refuse_several(Path("a"), {}, [])
