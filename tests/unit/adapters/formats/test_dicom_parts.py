"""A volume that was cut up into several files of many frames is joined, or it is said which are missing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np
import pytest
import torch
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from support.dicom_enhanced import write_enhanced
from support.dicom_series import HU

from simcrop.adapters.formats.dicom_enhanced import opened_enhanced
from simcrop.adapters.formats.dicom_series import contents_of
from simcrop.adapters.formats.opening import inspect_volume, read_volume
from simcrop.adapters.sources.indexing.quick_look import look_at_series
from simcrop.core.data.problems import BadFileError, Problem

PARTS = ((0, 1, 2, 3), (4, 5, 6), (7, 8, 9))


def write_parts(
    folder: Path,
    parts: Sequence[Sequence[int]] = PARTS,
    *,
    without: Sequence[int] = (),
    syntax: str = ExplicitVRLittleEndian,
    **elements: Any,
) -> list[Path]:
    """The parts of a concatenation, those without some; elements take the place of the usual ones."""
    paths: list[Path] = []
    for number, order in enumerate(parts, 1):

        def change(dataset: Any, number: int = number) -> None:
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{number}"
            usual = {
                "ConcatenationUID": "1.2.9",
                "InConcatenationNumber": number,
                "InConcatenationTotalNumber": len(parts),
                "ConcatenationFrameOffsetNumber": sum(map(len, parts[: number - 1])),
            }
            for name, value in {**usual, **elements}.items():
                if value is not None:
                    setattr(dataset, name, value)

        if number not in without:
            # Names in another order than the parts.
            paths.append(folder / f"{len(parts) - number}.dcm")
            write_enhanced(paths[-1], order=order, change=change, syntax=syntax)
    return paths


def problems(folder: Path) -> list[Problem]:
    told: list[Problem] = []
    inspect_volume(folder, told.append, root=folder)
    return [found for found in told if found.code.startswith("container")]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("parts", [PARTS, ((9, 8, 7, 6, 5), (4, 3, 2, 1, 0)), ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9))])
def test_the_parts_are_one_volume_in_whatever_order_their_frames_are(
    tmp_path: Path, parts: Sequence[Sequence[int]], syntax: str
) -> None:
    write_enhanced(tmp_path / "whole/a.dcm")
    write_parts(tmp_path / "parts", parts, syntax=syntax)
    whole, joined = (read_volume(tmp_path / name) for name in ("whole", "parts"))
    assert torch.equal(joined.voxels, whole.voxels)
    assert torch.equal(joined.affine, whole.affine)
    assert problems(tmp_path / "parts") == []


def test_an_index_takes_the_parts_for_one_series(tmp_path: Path) -> None:
    write_parts(tmp_path)
    (series,) = contents_of(tmp_path).series
    assert (series.num_slices, len(series.headers)) == (10, 3)
    look = look_at_series(tmp_path, series)
    assert (look.plane, look.num_slices, look.distance_mm) == ("axial", 10, 5)
    assert [found.code for found in look.problems if found.severity == "error"] == []
    (tmp_path / "1.dcm").unlink()
    (series,) = contents_of(tmp_path).series
    assert [found.code for found in look_at_series(tmp_path, series).problems] == ["container.incomplete"]


def _same_part(folder: Path) -> None:
    write_parts(folder, without=(2, 3))
    write_parts(folder / "more", InConcatenationNumber=1)[1].rename(folder / "again.dcm")
    for path in (folder / "more").iterdir():
        path.unlink()


def _two_volumes(folder: Path) -> None:
    write_parts(folder, without=(2, 3))
    write_parts(folder / "more", ConcatenationUID="1.2.8")[0].rename(folder / "other.dcm")


@pytest.mark.parametrize(
    ("write", "code", "says"),
    [
        (lambda folder: write_parts(folder, without=(2,)), "container.incomplete", "2 of 3 parts .* missing: 2"),
        (lambda folder: write_parts(folder, without=(3,)), "container.incomplete", "2 of 3 parts .* missing: 3"),
        (lambda folder: write_parts(folder, without=(1, 2)), "container.incomplete", "1 of 3 parts .* missing: 1, 2"),
        (
            lambda folder: write_parts(folder, without=(2,), InConcatenationTotalNumber=None),
            "container.incomplete",
            "2 of 3 parts .* missing: 2",
        ),
        (
            lambda folder: write_parts(folder, without=(2, 3), InConcatenationTotalNumber=None),
            "container.incomplete",
            "does not say of how many",
        ),
        (
            lambda folder: write_parts(folder, ConcatenationFrameOffsetNumber=5),
            "container.incomplete",
            "part 1, 2.dcm, begins with frame 6, and 0 come before it",
        ),
        (_same_part, "container.repeated", "holds part 1 twice"),
        (lambda folder: write_parts(folder, InConcatenationNumber=None), "container.repeated", "without a number"),
        (_two_volumes, "container.several", "holds 2 files of many frames of one series"),
    ],
)
def test_what_is_no_whole_volume_is_refused_by_what_is_wrong(
    tmp_path: Path, write: Callable[[Path], object], code: str, says: str
) -> None:
    write(tmp_path)
    with pytest.raises(BadFileError, match=says) as refused:
        read_volume(tmp_path)
    assert refused.value.problem.code == code


def test_parts_that_do_not_say_how_many_they_are_are_noted(tmp_path: Path) -> None:
    write_parts(tmp_path, InConcatenationTotalNumber=None)
    (found,) = problems(tmp_path)
    assert (found.code, found.severity) == ("container.incomplete", "note")
    assert "3 parts" in found.message
    assert read_volume(tmp_path).voxels.shape[2] == len(HU)


def test_a_copy_of_a_part_is_noted_and_passed_over(tmp_path: Path) -> None:
    copy(write_parts(tmp_path)[0], tmp_path / "copy.dcm")
    (found,) = problems(tmp_path)
    assert (found.code, found.severity) == ("container.repeated", "note")
    assert read_volume(tmp_path).voxels.shape[2] == len(HU)


@pytest.mark.parametrize("total", [3, None])
def test_one_part_by_itself_names_its_folder(tmp_path: Path, total: int | None) -> None:
    path = write_parts(tmp_path, InConcatenationTotalNumber=total)[1]
    with pytest.raises(BadFileError, match=r"is part 2 of (3|some) .*; name the folder with all of them") as refused:
        read_volume(path)
    assert refused.value.problem.code == "container.incomplete"


def test_a_frame_is_named_by_its_number_in_the_volume(tmp_path: Path) -> None:
    write_parts(tmp_path, ((0, 1, 2, 3), (4, 6, 7, 8, 9)))
    (found,) = problems(tmp_path)
    assert "frame 5 and frame 6 are 10.000 mm apart" in found.message


def test_a_file_is_held_no_longer_than_its_frames_are_wanted(tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    with opened_enhanced(paths[0], None, None, lambda found: None, paths) as stored:
        read = [next(stored.chunks) for _ in PARTS[0]]
        for path in paths:
            path.unlink()
        with pytest.raises(BadFileError):
            next(stored.chunks)
    assert np.array_equal(np.stack(read).reshape(-1, *HU.shape[1:]), HU[list(PARTS[0])])
