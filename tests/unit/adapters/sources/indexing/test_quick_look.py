"""Headers alone show where a series lies, and what is wrong with it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.data_folders import chest
from support.dicom_enhanced import at, write_enhanced
from support.landmarks import slices_first
from support.pacs_export import save_slices, slices_of

from simcrop.adapters.formats.dicom_series import Series, contents_of
from simcrop.adapters.sources.indexing.quick_look import Look, look_at_series, plane_of

HU = slices_first(chest(0, (16, 14, 24)))


def series_of(folder: Path, change: Callable[[list[Any]], Any] = lambda slices: None) -> Series:
    slices = slices_of({}, "1.2.3", HU, 10.0)
    save_slices(folder, change(slices) or slices, 1)
    return contents_of(folder).series[0]


def looked(folder: Path, change: Callable[[list[Any]], Any] = lambda slices: None) -> Look:
    series = series_of(folder, change)
    return look_at_series(folder, series)


def test_a_whole_series_is_good_and_its_measures_are_told(tmp_path: Path) -> None:
    look = looked(tmp_path)
    assert look.problems == ()
    assert (look.plane, look.spacing_mm, look.distance_mm, look.num_slices) == ("axial", (20, 20, 10), 10, 24)


def turned(axes: Sequence[float], step: Sequence[float]) -> Callable[[list[Any]], None]:
    """Slices that lie otherwise."""

    def change(slices: list[Any]) -> None:
        for number, one in enumerate(slices):
            one.ImageOrientationPatient = list(axes)
            one.ImagePositionPatient = [10.0 * number * part for part in step]

    return change


def set_of(number: int, **elements: Any) -> Callable[[list[Any]], None]:
    def change(slices: list[Any]) -> None:
        for name, value in elements.items():
            setattr(slices[number], name, value)

    return change


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda slices: slices[:9] + slices[12:], "container.incomplete", "misses 3 slices"),
        (lambda slices: slices + slices[4:7], "container.repeated", "has 27 slices at 24 places"),
        (lambda slices: slices[:7], "content.few_slices", "has 7 slices; 8 are needed"),
        (set_of(3, PixelSpacing=[21, 21]), "container.mixed", "a spacing of"),
        (set_of(3, Rows=15), "container.mixed", "pixels and not"),
        (set_of(3, ImageOrientationPatient=[0.8, 0.6, 0, -0.6, 0.8, 0]), "container.mixed", "another direction"),
        (set_of(3, ImagePositionPatient=None), "header.invalid", "does not say where it lies"),
        (set_of(0, PixelSpacing=None), "header.invalid", "how large its pixels are"),
        (turned([1, 0, 0, 0, 1, 0], [0, 0.2, 1]), "content.tilted", "11.3 degrees off"),
        (turned([1, 0, 0, 0, 1, 0], [0, 0, 5]), "content.field_of_view", "no chest scan does"),
    ],
)
def test_what_is_wrong_has_its_code_and_its_words(
    tmp_path: Path, change: Callable[[list[Any]], Any], code: str, words: str
) -> None:
    found = looked(tmp_path, change).problems
    assert [each.code for each in found] == [code]
    assert words in found[0].message


@pytest.mark.parametrize(
    ("axes", "step", "plane", "spacing"),
    [
        ([1, 0, 0, 0, 0, -1], [0, 1, 0], "coronal", (20, 10, 20)),
        ([0, 1, 0, 0, 0, -1], [1, 0, 0], "sagittal", (10, 20, 20)),
        ([1, 0, 0, 0, -1, 0], [0, 0, 1], "axial", (20, 20, 10)),
    ],
)
def test_planes_are_told_by_the_direction_across_the_slices(
    tmp_path: Path, axes: Sequence[float], step: Sequence[float], plane: str, spacing: tuple[float, float, float]
) -> None:
    look = looked(tmp_path, turned(axes, step))
    assert (look.plane, look.spacing_mm) == (plane, spacing)


def test_a_direction_between_the_planes_is_oblique() -> None:
    assert plane_of(np.array([0, 0.6, 0.8])) == "oblique"
    assert plane_of(np.array([0, 0.3, -2])) == "axial"


def test_an_enhanced_file_is_looked_at_by_its_frames(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "a/1")
    look = look_at_series(tmp_path / "a", contents_of(tmp_path / "a").series[0])
    assert (look.plane, look.spacing_mm, look.distance_mm, look.num_slices) == ("axial", (3, 2, 5), 5, 10)
    assert [each.code for each in look.problems] == ["content.field_of_view"]
    write_enhanced(tmp_path / "b/1", own=lambda number: at(number + 3 * (number > 4)))
    gap = look_at_series(tmp_path / "b", contents_of(tmp_path / "b").series[0])
    assert "container.incomplete" in [each.code for each in gap.problems]
    write_enhanced(tmp_path / "a/2", HU + 1)
    both = look_at_series(tmp_path / "a", contents_of(tmp_path / "a").series[0])
    assert [each.code for each in both.problems] == ["container.several"]
