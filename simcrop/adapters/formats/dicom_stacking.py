"""DICOM slices put on a stack: alike, in order along their normal, straight; and the affine of the volume they make."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from simcrop.adapters.formats.dicom_slices import DicomSlice
from simcrop.adapters.formats.geometry import LPS_TO_RAS, check_affine
from simcrop.core.data.problems import OnProblem, bad_file, problem

_SAME_DIRECTION, _SAME_SPACING_MM = 1e-3, 1e-3
_MAX_TILT = 0.02
"""Sine of the angle between stack and normal: one degree."""
_MAX_SIDEWAYS = 0.5
"""Of a pixel: how far off a straight line slices may lie."""


def stacked(
    folder: Path,
    slices: Sequence[DicomSlice],
    check: Callable[[Sequence[DicomSlice], np.ndarray], None],
    on_problem: OnProblem,
) -> tuple[Sequence[DicomSlice], np.ndarray]:
    """The slices in order along their normal, and the affine from (slice, row, column) to mm, RAS.

    Args:
        folder: for messages; a file, where it holds all.
        slices: in any order.
        check: looks at the slices in order, and their heights in mm, before they are taken for a volume.
        on_problem: is told of what can be passed over.

    Raises:
        BadFileError: too few slices, of several grids, or several at one place; gaps and tilt are told.
    """
    if len(slices) < 2:
        raise bad_file(folder, "content.few_slices", f"holds {len(slices)} slice, which is no volume")
    _check_alike(folder, slices)
    along_row, along_column = slices[0].directions
    if np.abs(slices[0].directions @ slices[0].directions.T - np.eye(2)).max() > _SAME_DIRECTION:
        raise bad_file(folder, "header.affine", "its rows and columns are not at right angles")
    normal = np.cross(along_row, along_column)
    slices = sorted(slices, key=lambda one: float(one.position @ normal))
    positions = np.stack([one.position for one in slices])
    check(slices, positions @ normal)
    step = (positions[-1] - positions[0]) / (len(slices) - 1)
    _check_straight(folder, positions, step, normal, min(slices[0].spacing), on_problem)
    between_rows, between_columns = slices[0].spacing
    affine = np.eye(4)
    affine[:3, :3] = np.stack([step, along_column * between_rows, along_row * between_columns], axis=1)
    affine[:3, 3] = positions[0]
    affine = LPS_TO_RAS @ affine
    check_affine(folder, affine, lambda found: None if found.code == "header.sheared" else on_problem(found))
    return slices, affine


def _check_alike(folder: Path, slices: Sequence[DicomSlice]) -> None:
    first = slices[0]
    for one in slices[1:]:
        if one.shape != first.shape:
            what = f"has {one.shape} pixels and not {first.shape}"
        elif np.abs(one.directions - first.directions).max() > _SAME_DIRECTION:
            what = "lies in another direction"
        elif np.abs(np.subtract(one.spacing, first.spacing)).max() > _SAME_SPACING_MM:
            what = f"has a spacing of {one.spacing} mm and not {first.spacing}"
        else:
            continue
        raise bad_file(folder, "container.mixed", f"holds {first.name} and {one.name}, which {what}")


def _check_straight(
    folder: Path, positions: np.ndarray, step: np.ndarray, normal: np.ndarray, pixel_mm: float, on_problem: OnProblem
) -> None:
    """Tell of a stack that leans, or whose slices jump sideways."""
    lean = float(np.linalg.norm(step - (step @ normal) * normal) / np.linalg.norm(step))
    if lean > _MAX_TILT:
        degrees = float(np.degrees(np.arcsin(min(1.0, lean))))
        message = f"has slices stacked {degrees:.1f} degrees off their normal"
        on_problem(problem(folder, "content.tilted", message, degrees=degrees))
    direction = step / np.linalg.norm(step)
    offsets = positions - positions[0]
    aside = np.linalg.norm(offsets - np.outer(offsets @ direction, direction), axis=1)
    if aside.max() > _MAX_SIDEWAYS * pixel_mm:
        message = f"has slices that lie up to {aside.max():.2f} mm aside of the others"
        on_problem(problem(folder, "container.mixed", message, aside_mm=float(aside.max())))


def note_loss(path: Path, slices: Sequence[DicomSlice], on_problem: OnProblem) -> None:
    """Tell of slices that were compressed with loss."""
    lossy = [one for one in slices if one.loss]
    if lossy:
        methods = ", ".join(sorted({one.loss for one in lossy}))
        message = f"was compressed with loss ({methods}) in {len(lossy)} of {len(slices)} slices"
        on_problem(problem(path, "content.lossy", message, slices=len(lossy), methods=methods))
