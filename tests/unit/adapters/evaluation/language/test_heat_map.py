"""A map of patches lands on a scan's voxels where it belongs, whatever way these are turned."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from simcrop.adapters.evaluation.language.heat_map import PatchMap, map_onto

GRID, PATCH, SPACING = (5, 4, 6), (5, 7, 3), (2.0, 1.5, 3.0)
SEEN = np.diag([*SPACING, 1.0])
SEEN[:3, 3] = (-31.0, 12.5, -400.0)
SIZE_MM = np.array(GRID) * np.array(PATCH) * np.array(SPACING)
MIDDLE = SEEN[:3, :3] @ ((np.array(GRID) * np.array(PATCH) - 1) / 2) + SEEN[:3, 3]


def centre_of(patch: tuple[int, int, int]) -> np.ndarray:
    """World coordinates of a patch's centre."""
    voxel = np.array(patch) * PATCH + (np.array(PATCH) - 1) / 2
    return SEEN[:3, :3] @ voxel + SEEN[:3, 3]


def scan_affine(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], turn: np.ndarray, signs: tuple[int, int, int]
) -> np.ndarray:
    """Of a scan around the middle of what the model sees."""
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(np.multiply(spacing, signs))
    affine[:3, 3] = MIDDLE - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


OBLIQUE = Rotation.from_euler("xyz", [9, -14, 21], degrees=True).as_matrix()
SWAPPED = np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]])
SHAPE, FINE = (71, 70, 66), (0.9, 1.0, 1.1)


@pytest.mark.parametrize("patch", [(0, 0, 0), (4, 3, 5), (1, 2, 4), (3, 1, 1), (0, 3, 2)])
@pytest.mark.parametrize(
    ("turn", "signs"),
    [
        pytest.param(np.eye(3), (1, 1, 1), id="RAS"),
        pytest.param(np.eye(3), (-1, -1, 1), id="LPS"),
        pytest.param(np.eye(3), (1, -1, -1), id="RPI"),
        pytest.param(SWAPPED, (1, -1, 1), id="swapped axes"),
        pytest.param(OBLIQUE, (1, 1, 1), id="oblique"),
        pytest.param(OBLIQUE @ SWAPPED, (-1, 1, -1), id="oblique, swapped and mirrored"),
    ],
)
def test_a_hot_patch_is_hottest_within_half_a_voxel_of_its_centre(
    patch: tuple[int, int, int], turn: np.ndarray, signs: tuple[int, int, int]
) -> None:
    affine = scan_affine(SHAPE, FINE, turn, signs)
    patches = np.zeros(GRID, np.float32)
    patches[patch] = 1.0
    heat = map_onto(patches, PATCH, SEEN, SHAPE, affine)
    hottest = np.argwhere(heat.values > heat.values.max() - 1e-5)
    from_centre = hottest @ affine[:3, :3].T + affine[:3, 3] - centre_of(patch)
    assert (np.abs(from_centre) <= np.array(PATCH) * np.array(SPACING) / 2 + 1e-6).all()
    if all(0 < p < g - 1 for p, g in zip(patch, GRID, strict=True)):  # elsewhere the value goes on to the edge
        wanted = (np.linalg.inv(affine) @ [*centre_of(patch), 1])[:3]
        assert np.abs(hottest - wanted).max() <= 0.5


angles = st.floats(-180, 180)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(angles, angles, angles), st.tuples(*[st.floats(0.7, 4.0)] * 3), st.tuples(*[st.sampled_from([-1, 1])] * 3)
)
def test_what_is_linear_in_space_stays_so_under_any_affine(
    turn: tuple[float, float, float], spacing: tuple[float, float, float], signs: tuple[int, int, int]
) -> None:
    slope = np.array([0.3, -0.7, 0.2])
    centres = np.stack(np.meshgrid(*map(np.arange, GRID), indexing="ij"), -1)
    values = np.apply_along_axis(lambda patch: centre_of(tuple(patch)) @ slope, 3, centres)
    shape = (9, 8, 7)
    affine = scan_affine(shape, spacing, Rotation.from_euler("xyz", turn, degrees=True).as_matrix(), signs)
    heat = map_onto(values.astype(np.float32), PATCH, SEEN, shape, affine)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    apart = np.abs(world - MIDDLE)
    between = (apart < SIZE_MM / 2 - np.array(PATCH) * np.array(SPACING) / 2 - 1e-6).all(-1)
    np.testing.assert_allclose(heat.values[between], (world @ slope)[between], atol=1e-3)
    np.testing.assert_array_equal(heat.inside[(apart < SIZE_MM / 2 - 1e-3).all(-1)], True)
    np.testing.assert_array_equal(heat.inside[(apart > SIZE_MM / 2 + 1e-3).any(-1)], False)
    assert (heat.values[~heat.inside] == values.astype(np.float32).min()).all()
    assert heat.share_outside == pytest.approx(1 - heat.inside.mean())


def test_the_model_s_own_grid_gives_every_patch_back() -> None:
    patches = np.random.default_rng(0).normal(size=GRID).astype(np.float32)
    shape = tuple(g * p for g, p in zip(GRID, PATCH, strict=True))
    heat = map_onto(patches, PATCH, SEEN, shape, SEEN)
    assert heat.values.dtype == np.float32
    assert heat.share_outside == 0
    np.testing.assert_allclose(heat.values[2::5, 3::7, 1::3], patches, atol=1e-6)
    np.testing.assert_allclose(heat.values[0, 3::7, 1::3], patches[0], atol=1e-6)


def test_outside_of_what_the_model_sees_the_map_has_its_lowest_value() -> None:
    patches = np.linspace(-0.4, 0.9, np.prod(GRID)).reshape(GRID).astype(np.float32)
    affine = scan_affine((30, 30, 30), (4.0, 4.0, 4.0), np.eye(3), (1, 1, 1))
    heat = map_onto(patches, PATCH, SEEN, (30, 30, 30), affine)
    assert 0.5 < heat.share_outside < 1
    assert set(heat.values[~heat.inside].tolist()) == {np.float32(-0.4)}
    assert heat.values[heat.inside].max() == pytest.approx(0.9, abs=0.1)


@pytest.mark.parametrize("turn", [np.eye(3), OBLIQUE @ SWAPPED])
def test_the_best_voxel_is_the_one_nearest_to_the_best_patch_s_centre(turn: np.ndarray) -> None:
    affine = scan_affine(SHAPE, FINE, turn, (-1, -1, 1))
    patches = np.random.default_rng(1).normal(size=GRID).astype(np.float32)
    patches[3, 2, 4] = 9
    wanted = (np.linalg.inv(affine) @ [*centre_of((3, 2, 4)), 1])[:3]
    assert np.abs(map_onto(patches, PATCH, SEEN, SHAPE, affine).best_voxel - wanted).max() <= 0.5


def test_a_patch_beside_the_scan_is_not_the_best() -> None:
    small = (20, 70, 66)
    affine = scan_affine(small, FINE, np.eye(3), (1, 1, 1))
    patches = np.zeros(GRID, np.float32)
    patches[0] = 5  # 20 mm to the left of the middle; the scan ends after 9
    patches[2, 3, 1] = 1
    wanted = (np.linalg.inv(affine) @ [*centre_of((2, 3, 1)), 1])[:3]
    assert np.abs(map_onto(patches, PATCH, SEEN, small, affine).best_voxel - wanted).max() <= 0.5
    tiny = scan_affine((1, 1, 1), FINE, np.eye(3), (1, 1, 1))
    assert map_onto(patches, PATCH, SEEN, (1, 1, 1), tiny).best_voxel == (0, 0, 0)


def test_the_middle_sample_of_a_patch_is_its_own_value_and_lies_at_its_centre() -> None:
    patches = np.random.default_rng(0).normal(size=GRID).astype(np.float32)
    compared = np.ones(GRID, bool)
    compared[2, 1, 3] = False
    values, affine = PatchMap(patches, compared, PATCH, SEEN).sampled(5)
    assert values.shape == tuple(5 * count for count in GRID)
    middle = values[2::5, 2::5, 2::5]
    assert np.isnan(middle[2, 1, 3])
    assert np.isnan(values).sum() == 5**3
    np.testing.assert_allclose(middle[compared], patches[compared], atol=1e-6)
    np.testing.assert_allclose(affine[:3, :3] @ (7, 12, 22) + affine[:3, 3], centre_of((1, 2, 4)), atol=1e-9)
