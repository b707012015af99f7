"""Affines of stored volumes: checked, and array axes turned to the patient's right, front and head."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from simcrop.core.data.problems import OnProblem, bad_file, problem

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the patient's left, back and head, which DICOM and MetaImage count along, to right, front and head."""
_SPACING_MM = (0.05, 20.0)
_MAX_SHEAR = 0.02
"""Cosine of the angle between two axes: one degree off the right angle."""


def check_affine(path: Path, affine: np.ndarray, on_problem: OnProblem) -> np.ndarray:
    """Tell of odd spacings and of axes that are not at right angles.

    Args:
        path: for messages.
        affine: [4, 4], maps stored indices to world coordinates in mm.
        on_problem: is told.

    Returns:
        The spacing along each stored axis, mm.

    Raises:
        BadFileError: NaN, an axis of no length, or axes that lie in one plane.
    """
    with np.errstate(over="ignore"):
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and np.isfinite(spacing).all() and spacing.all()):
        message = f"its affine gives a voxel spacing of {spacing.tolist()} mm"
        raise bad_file(path, "header.affine", message, spacing_mm=spacing.tolist())
    axes = affine[:3, :3] / spacing
    if abs(np.linalg.det(axes)) < 1e-2:
        raise bad_file(path, "header.affine", "its affine is singular (axes lie in one plane)")
    if not ((spacing >= _SPACING_MM[0]).all() and (spacing <= _SPACING_MM[1]).all()):
        message = f"its voxels are {' x '.join(f'{mm:g}' for mm in spacing)} mm large"
        on_problem(problem(path, "header.spacing", message, spacing_mm=spacing.tolist()))
    shear = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if shear > _MAX_SHEAR:
        degrees = float(np.degrees(np.arcsin(min(1.0, shear))))
        message = f"its axes are {degrees:.1f} degrees off the right angle"
        on_problem(problem(path, "header.sheared", message, degrees=degrees))
    return spacing


def corners_apart(first: np.ndarray, second: np.ndarray, shape: Sequence[int]) -> float:
    """Largest distance between the corners of a volume by two affines, mm."""
    corners = np.array([[*index, 1] for index in itertools.product(*((0, n - 1) for n in shape[:3]))])
    return float(np.linalg.norm((corners @ (first - second).T)[:, :3], axis=1).max())


def grids_meet(affine: np.ndarray, shape: Sequence[int], other: np.ndarray, other_shape: Sequence[int]) -> bool:
    """Whether two grids share some place of the world; of two that are turned towards each other, whether they may."""
    ends = itertools.product(*((-0.5, n - 0.5) for n in other_shape[:3]))
    corners = np.array([[*index, 1] for index in ends]) @ (np.linalg.inv(affine) @ other).T
    low, high = corners[:, :3].min(0), corners[:, :3].max(0)
    return bool((low < np.array(shape[:3]) - 0.5).all() and (high > -0.5).all())


def ras_grid(shape: Sequence[int], affine: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
    """The size and affine of a grid with its axes nearest to right, front and head."""
    turn = ornt_transform(io_orientation(affine), axcodes2ornt("RAS"))
    turned = affine @ inv_ornt_aff(turn, tuple(shape[:3]))
    order = np.argsort(turn[:, 0])
    return tuple(int(shape[axis]) for axis in order), turned


def to_ras(voxels: np.ndarray, affine: np.ndarray, dtype: np.dtype | type) -> tuple[np.ndarray, np.ndarray]:
    """The same volume, as `dtype`, with its array axes nearest to right, front and head; and its affine."""
    turn = ornt_transform(io_orientation(affine), axcodes2ornt("RAS"))
    # Order K keeps the file's memory order: several times faster than a transposition, and strides are all positive.
    return np.array(apply_orientation(voxels, turn), dtype, order="K"), affine @ inv_ornt_aff(turn, voxels.shape)


def extent(shape: tuple[int, int, int], affine: np.ndarray) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Voxels and their spacing in mm, along right, front, head."""
    world = io_orientation(affine)[:, 0].astype(int)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    x, y, z = (int(np.flatnonzero(world == axis)[0]) for axis in range(3))
    return (shape[x], shape[y], shape[z]), (float(spacing[x]), float(spacing[y]), float(spacing[z]))
