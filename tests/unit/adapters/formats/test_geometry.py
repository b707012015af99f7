"""Affines: what is told of odd ones, and axes turned to right, front and head."""

from pathlib import Path

import numpy as np
import pytest

from simcrop.adapters.formats.geometry import check_affine, corners_apart, extent, grids_meet, ras_grid, to_ras
from simcrop.core.data.problems import BadFileError, Problem

STORED = np.array([[0, 0, 2.0, 5], [-3.0, 0, 0, 6], [0, 4.0, 0, 7], [0, 0, 0, 1]])
"""Stored axes run to the back, the head and the right: 3, 4 and 2 mm."""
VOXELS = np.arange(24).reshape(2, 3, 4)


def told_of(affine: np.ndarray) -> tuple[list[float], list[str]]:
    told: list[Problem] = []
    spacing = check_affine(Path("a.nii"), affine, told.append)
    return spacing.tolist(), [problem.message for problem in told]


def test_spacings_are_along_the_stored_axes_and_a_plain_affine_is_nothing_to_tell() -> None:
    assert told_of(STORED) == ([3.0, 4.0, 2.0], [])


def test_odd_spacings_and_sheared_axes_are_told() -> None:
    assert told_of(np.diag([25.0, 1, 1, 1]))[1] == ["its voxels are 25 x 1 x 1 mm large"]
    sheared = np.eye(4)
    sheared[0, 1] = np.tan(np.deg2rad(5))
    assert told_of(sheared)[1] == ["its axes are 5.0 degrees off the right angle"]


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.diag([0.0, 1, 1, 1]), r"gives a voxel spacing of \[0.0, 1.0, 1.0\] mm"),
        (np.diag([float("nan"), 1, 1, 1]), r"gives a voxel spacing of \[nan, 1.0, 1.0\] mm"),
        (np.array([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "axes lie in one plane"),
    ],
)
def test_an_affine_that_places_nothing_is_refused(affine: np.ndarray, message: str) -> None:
    with pytest.raises(BadFileError, match=message):
        told_of(affine)


def test_a_turned_volume_has_every_voxel_where_it_was() -> None:
    turned, affine = to_ras(VOXELS, STORED, np.int16)
    assert (turned.shape, turned.dtype) == ((4, 2, 3), np.int16)
    for index in np.ndindex(turned.shape):
        there = np.linalg.inv(STORED) @ affine @ [*index, 1]
        assert turned[index] == VOXELS[tuple(np.round(there[:3]).astype(int))]
    assert (np.diag(affine)[:3] > 0).all()


def test_extents_are_those_of_the_turned_volume() -> None:
    assert extent((2, 3, 4), STORED) == ((4, 2, 3), (2.0, 3.0, 4.0))


def test_corners_of_a_shifted_and_stretched_volume_are_as_far_apart_as_its_farthest_one() -> None:
    shifted = np.eye(4)
    shifted[0, 3] = 3.0
    assert corners_apart(np.eye(4), shifted, (5, 5, 5)) == 3.0
    assert corners_apart(np.eye(4), np.diag([2.0, 1, 1, 1]), (5, 9, 9)) == 4.0


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("voxels", "meets"), [(-4.01, False), (-3.99, True), (0, True), (4.99, True), (5.01, False)])
def test_grids_meet_where_their_outermost_voxels_do(axis: int, voxels: float, meets: bool) -> None:
    """A grid of 4 voxels along each axis, and one of 5 that its owner counts from somewhere else, stored elsewise."""
    grid, other = np.diag([2.0, 3.0, 4.0, 1.0]), np.diag([2.0, 3.0, 4.0, 1.0])
    other[axis, 3] = voxels * grid[axis, axis]
    shape = [5, 5, 5]
    assert grids_meet(grid, shape, other, (4, 4, 4)) == meets
    back = np.diag([-1.0, 1, 1, 1])
    back[0, 3] = 3
    assert grids_meet(grid, shape, other @ back, (4, 4, 4)) == meets


def test_the_grid_of_a_turned_volume_is_its_own() -> None:
    turned, affine = to_ras(VOXELS, STORED, np.int16)
    shape, found = ras_grid(VOXELS.shape, STORED)
    assert shape == turned.shape
    np.testing.assert_array_equal(found, affine)
