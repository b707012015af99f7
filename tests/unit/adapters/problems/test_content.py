"""Voxels are judged alike in whatever chunks they come."""

import numpy as np
import pytest
from support.data_folders import chest

from simcrop.adapters.problems.content import (
    ContentScan,
    PaddingValue,
    Scaling,
    content_problems,
    padding_values,
    shape_problems,
)

SHAPE = (32, 32, 16)


def scanned(
    voxels: np.ndarray,
    scaling: Scaling = (1.0, 0.0),
    padding: PaddingValue = None,
    chunks: int = 1,
    num_voxels: int | None = None,
) -> ContentScan:
    scan = ContentScan(voxels.size if num_voxels is None else num_voxels, scaling, padding)
    for chunk in np.array_split(voxels.ravel(), chunks):
        scan.add(chunk)
    return scan


def codes(voxels: np.ndarray, scaling: Scaling = (1.0, 0.0), padding: PaddingValue = None) -> list[str]:
    return [found.code for found in content_problems("a", scanned(voxels, scaling, padding))]


def test_a_chest_is_clean_and_chunks_do_not_matter() -> None:
    many = 1 << 30  # so that some enter the histogram
    whole, parts = (scanned(chest(shape=SHAPE), chunks=chunks, num_voxels=many) for chunks in (1, 37))
    assert codes(chest(shape=SHAPE)) == []
    assert (whole.digest, whole.range_hu, whole.num_voxels) == (parts.digest, parts.range_hu, parts.num_voxels)
    assert whole.share(-1100, 100) == pytest.approx(parts.share(-1100, 100))
    assert whole.digest != scanned(chest(1, SHAPE)).digest


def test_few_voxels_are_judged_alike_whichever_way_their_axes_run() -> None:
    voxels = np.full((14, 16, 8), 3000, np.int16)
    voxels[0, 0, :2] = -1000
    voxels.flat[-3:] = 40
    for turned in (voxels, voxels[::-1], voxels[:, ::-1], voxels.T):
        assert "content.raw_values" not in codes(turned)


@pytest.mark.parametrize(
    ("voxels", "code"),
    [
        (chest(shape=SHAPE) + 1024, "content.raw_values"),
        (chest(shape=SHAPE) - 1024, "content.hu_twice"),
        (np.full(SHAPE, 7, np.int16), "content.constant"),
        (np.clip(chest(shape=SHAPE) / 8 + 130, 0, 255).astype(np.uint8), "content.eight_bit"),
        (np.where(np.arange(SHAPE[0])[:, None, None] < 2, -3024, chest(shape=SHAPE)), "content.padding"),
    ],
)
def test_voxels_that_are_no_hu_are_named(voxels: np.ndarray, code: str) -> None:
    assert codes(voxels) == [code]


def test_voxels_are_judged_as_they_are_scaled_and_without_what_is_declared_as_padding() -> None:
    assert codes(chest(shape=SHAPE) + 1024, scaling=(1.0, -1024.0)) == []
    padded = np.where(np.arange(SHAPE[0])[:, None, None] < 2, -3024, chest(shape=SHAPE))
    assert codes(padded, padding=-3024) == []
    padded[2] = -2000
    assert codes(padded, padding=-3024) == ["content.padding"]
    assert codes(padded, padding=(-3024, -2000)) == []


def test_padding_is_read_as_air_and_so_is_a_note() -> None:
    padded = np.where(np.arange(SHAPE[0])[:, None, None] < 2, -3024, chest(shape=SHAPE))
    (found,) = content_problems("a", scanned(padded))
    assert (found.code, found.severity) == ("content.padding", "note")


def test_one_value_of_padding_several_or_none() -> None:
    assert [padding_values(value) for value in (None, -2000, -2000.0, [-1, -2])] == [
        (),
        (-2000.0,),
        (-2000.0,),
        (-1.0, -2.0),
    ]


def test_voxels_that_are_no_numbers_are_counted() -> None:
    voxels = chest(shape=SHAPE).astype(np.float32)
    voxels[0, 0, :3] = np.nan, np.inf, -np.inf
    (found,) = content_problems("a", scanned(voxels))
    assert (found.code, found.values) == ("content.not_finite", {"count": 3})
    assert codes(np.full(SHAPE, np.nan, np.float32)) == ["content.not_finite"]


@pytest.mark.parametrize(
    ("shape", "spacing", "found"),
    [
        ((512, 512, 300), (0.7, 0.7, 1.0), []),
        ((512, 512, 7), (0.7, 0.7, 50.0), ["content.few_slices"]),
        ((512, 512, 300), (0.2, 0.2, 1.0), ["content.field_of_view"]),
        ((512, 512, 300), (0.7, 0.7, 3.0), ["content.field_of_view"]),
    ],
)
def test_an_extent_that_is_no_chest_is_named(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], found: list[str]
) -> None:
    assert [problem.code for problem in shape_problems("a", shape, spacing)] == found


def masked(value: float, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """A body in the middle, of which a half is lung, and one value around it."""
    voxels = chest(shape=shape).astype(np.float32)
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    voxels[x**2 + y**2 > 0.6] = value
    return voxels.astype(np.int16)


@pytest.mark.parametrize("value", [0, 40, -500, 3000])
@pytest.mark.parametrize("scaling", [(1.0, 0.0), (0.5, -1024.0)])
def test_one_value_that_is_no_air_around_the_patient_is_noted(value: float, scaling: Scaling) -> None:
    slope, intercept = scaling
    stored = ((masked(value) - intercept) / slope).astype(np.int16)
    for chunks in (1, 7):
        (found,) = content_problems("a", scanned(stored, scaling, chunks=chunks))
        share = float((masked(value) == value).mean())
        assert (found.code, found.severity, found.values["value"]) == ("content.background", "note", value)
        assert found.values["share"] == pytest.approx(share, rel=0.05)
        assert f"has {value:g} HU in {share:.0%} of its voxels" in found.message


def test_padding_may_lie_outside_of_what_was_masked() -> None:
    voxels = masked(0)
    voxels[:3] = -3024
    assert codes(voxels, padding=-3024) == ["content.background"]
    assert codes(voxels) == ["content.padding", "content.background"]


@pytest.mark.parametrize("value", [-1000, -1024, -950, -2000, -3024])
def test_air_and_padding_around_the_patient_are_no_such_background(value: float) -> None:
    assert "content.background" not in codes(masked(value))


def test_tissue_at_the_corner_of_a_cropped_scan_is_no_background() -> None:
    cropped = chest(shape=SHAPE)[::-1]
    assert cropped[0, 0, 0] > -200
    assert codes(cropped) == []
    assert codes((cropped // 20 * 20).astype(np.int16)) == []  # steps of 20 HU
    assert codes(masked(0), padding=0) == []
