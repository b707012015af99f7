"""One distance between slices, many reasons why it may be wrong: each is told as what it is."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dicom_series import HU, Change, write_series

from simcrop.adapters.formats.dicom import opened_series
from simcrop.adapters.formats.stored import inspect_stored
from simcrop.core.data.problems import Problem

FEW = HU[:, :4, :4]


def told(folder: Path) -> list[Problem]:
    found: list[Problem] = []
    inspect_stored(folder, opened_series(folder, folder, None, found.append), found.append, expects_hu=False)
    looks = {"content.few_slices", "content.field_of_view"}
    return [each for each in found if each.code not in looks]


def the_error(folder: Path) -> Problem:
    (found,) = [each for each in told(folder) if each.severity == "error"]
    return found


def twice(folder: Path, first: Change, second: Change, *, shift: float = 0.0) -> None:
    """Two stacks in one folder, the second at the same places or between them."""

    def apart(change: Change, number_from: int, more: float) -> Change:
        def changed(dataset: Any, number: int) -> None:
            dataset.InstanceNumber = number_from + number
            dataset.SOPInstanceUID = f"1.2.3.{number_from + number}"
            dataset.ImagePositionPatient = [-100, -80, -300 + 5 * number + more]
            change(dataset, number)

        return changed

    write_series(folder / "a", FEW, change=apart(first, 1, 0))
    write_series(folder / "b", FEW + 1, change=apart(second, 11, shift))
    for path in [*(folder / "a").iterdir(), *(folder / "b").iterdir()]:
        path.rename(folder / f"{path.parent.name}{path.name}")
    (folder / "a").rmdir()
    (folder / "b").rmdir()


def setting(name: str, value: Any) -> Change:
    return lambda dataset, number: setattr(dataset, name, value)


def numbered(dataset: Any, number: int) -> None:
    dataset.InstanceNumber = number + 1


@pytest.mark.parametrize(("names", "missing"), [(["5"], 1), (["5", "2"], 2), (["5", "8"], 2)])
def test_missing_slices_are_counted_and_their_neighbours_named(
    tmp_path: Path, names: Sequence[str], missing: int
) -> None:
    write_series(tmp_path, FEW, change=numbered)
    for name in names:  # 5 is the sixth slice by its place, 2 the seventh, 8 the fifth
        (tmp_path / f"{name}.dcm").unlink()
    found = the_error(tmp_path)
    assert (found.code, found.values["missing"]) == ("container.incomplete", missing)
    assert found.message.startswith(f"misses {missing} slice")
    assert "(number " in found.message
    assert "export the whole series again" in found.hint


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("AcquisitionNumber", 1, 2),
        ("TemporalPositionIdentifier", 1, 2),
        ("TriggerTime", "120.5", "510"),
        ("NominalPercentageOfCardiacPhase", 40.0, 75.0),
        ("EchoNumbers", 1, 2),
        ("KVP", "80", "140"),
        ("ConvolutionKernel", "Br40", "Bl60"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "SECONDARY", "MIP"]),
    ],
)
def test_phases_in_one_series_are_told_by_the_element_that_parts_them(
    tmp_path: Path, name: str, first: Any, second: Any
) -> None:
    twice(tmp_path, setting(name, first), setting(name, second))
    found = the_error(tmp_path)
    assert (found.code, found.values["element"]) == ("container.phases", name)
    assert f"holds 2 volumes at the same places, told apart by {name}" in found.message
    assert "(10 slices)" in found.message


def test_phases_that_lie_between_each_other_are_phases_too(tmp_path: Path) -> None:
    twice(tmp_path, setting("AcquisitionNumber", 1), setting("AcquisitionNumber", 2), shift=1.5)
    assert the_error(tmp_path).code == "container.phases"


def test_slabs_of_several_acquisitions_are_one_volume(tmp_path: Path) -> None:
    def slab(dataset: Any, number: int) -> None:
        dataset.AcquisitionNumber = 1 + number // 5

    write_series(tmp_path, FEW, change=slab)
    assert told(tmp_path) == []
    (tmp_path / "5.dcm").unlink()
    assert the_error(tmp_path).code == "container.incomplete"


def test_an_element_that_differs_in_every_slice_parts_nothing(tmp_path: Path) -> None:
    def times(dataset: Any, number: int) -> None:
        dataset.AcquisitionTime = f"1200{dataset.InstanceNumber:02d}"

    twice(tmp_path, times, times)
    assert the_error(tmp_path).code == "container.repeated"


def test_two_slices_at_one_place_for_no_reason_are_named(tmp_path: Path) -> None:
    twice(tmp_path, lambda dataset, number: None, lambda dataset, number: None)
    found = the_error(tmp_path)
    assert found.code == "container.repeated"
    assert "has 20 slices at 10 places" in found.message
    assert "every place comes 2 times" in found.message
    (tmp_path / "b0.dcm").unlink()
    found = the_error(tmp_path)
    assert "has 19 slices at 10 places" in found.message
    assert "every place" not in found.message


def test_slices_at_one_place_are_bolus_tracking(tmp_path: Path) -> None:
    write_series(tmp_path, FEW, step=(0, 0, 0))
    found = the_error(tmp_path)
    assert found.code == "container.repeated"
    assert "has all its 10 slices at one place" in found.message


def test_copies_to_the_byte_are_noted_and_read_once(tmp_path: Path) -> None:
    write_series(tmp_path, FEW)
    for name in ("0", "7"):
        shutil.copyfile(tmp_path / f"{name}.dcm", tmp_path / f"{name} (1).dcm")
    (found,) = told(tmp_path)
    assert (found.code, found.severity) == ("container.repeated", "note")
    assert found.values["files"] == ["0.dcm", "7.dcm"]
    assert "one of each is read" in found.message
    with opened_series(tmp_path, tmp_path, None, lambda problem: None) as stored:
        assert stored.shape == FEW.shape


@pytest.mark.parametrize("heights", [[0, 5, 10, 15, 20, 23, 26, 29], [0, 5, 10, 15, 20, 25, 31, 36]])
def test_uneven_distances_are_no_missing_slices(tmp_path: Path, heights: list[float]) -> None:
    def place(dataset: Any, number: int) -> None:
        dataset.ImagePositionPatient = [-100, -80, heights[number]]

    write_series(tmp_path, FEW[:8], change=place)
    found = the_error(tmp_path)
    assert found.code == "container.uneven"
    assert "mm apart, but" in found.message
    assert "misses" not in found.message


def test_rounded_places_are_even(tmp_path: Path) -> None:
    def place(dataset: Any, number: int) -> None:
        dataset.ImagePositionPatient = [-100, -80, round(0.625 * number, 2)]

    write_series(tmp_path, FEW, change=place)
    assert not [each for each in told(tmp_path) if each.code.startswith("container")]
    with opened_series(tmp_path, tmp_path, None, lambda problem: None) as stored:
        np.testing.assert_allclose(stored.affine[2, 0], 0.625, atol=1e-3)
