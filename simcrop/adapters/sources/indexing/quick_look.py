"""A series by its headers alone: how it lies, and what is wrong with it as far as headers tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simcrop.adapters.formats.dicom_enhanced import opened_enhanced
from simcrop.adapters.formats.dicom_headers import DicomHeader
from simcrop.adapters.formats.dicom_parts import parts_in_order
from simcrop.adapters.formats.dicom_places import Placed, check_places, without_copies
from simcrop.adapters.formats.dicom_series import Series
from simcrop.adapters.formats.geometry import LPS_TO_RAS, extent
from simcrop.adapters.problems.content import MIN_SLICES, shape_problems
from simcrop.core.data.problems import BadFileError, Problem, problem

_SAME_DIRECTION, _SAME_SPACING_MM, _MAX_TILT = 1e-3, 1e-3, 0.02
_ALONG = 0.9
"""Cosine of the angle between the normal and an axis of the body: below it, slices are oblique."""
_PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class Look:
    """What was seen.

    Attributes:
        problems: errors and notes.
        plane: axial, coronal, sagittal, oblique, or nothing where it is unknown.
        spacing_mm: along right, front and head; None where it is unknown.
        distance_mm: usual distance between slices; None where there is none.
        num_slices: places at which there is a slice.
    """

    problems: tuple[Problem, ...]
    plane: str = ""
    spacing_mm: tuple[float, float, float] | None = None
    distance_mm: float | None = None
    num_slices: int = 0


def plane_of(normal: np.ndarray) -> str:
    """The plane that a direction stands upright on: axial, coronal, sagittal or oblique."""
    along = np.abs(normal) / np.linalg.norm(normal)
    return _PLANES[int(along.argmax())] if along.max() >= _ALONG else "oblique"


def look_at_series(folder: Path, series: Series) -> Look:
    """A series of DICOM as its headers have it.

    Args:
        folder: for messages.
        series: the series.
    """
    if series.is_enhanced:
        return _look_at_enhanced(folder, series)
    told: list[Problem] = []
    lacking = next((header for header in series.headers if header.position is None or header.normal is None), None)
    if lacking is not None or series.first.shape is None or series.first.spacing_mm is None:
        path = (lacking or series.first).path
        told.append(problem(path, "header.invalid", "does not say where it lies, or how large its pixels are"))
        return Look(tuple(told), num_slices=series.num_slices)
    plane = plane_of(_normal(series.first))
    if series.num_slices < MIN_SLICES:
        message = f"has {series.num_slices} slices; {MIN_SLICES} are needed"
        told.append(problem(folder, "content.few_slices", message, slices=series.num_slices))
        return Look(tuple(told), plane, num_slices=series.num_slices)
    try:
        spacing, distance = _look_at_stack(folder, series, told)
    except BadFileError as bad:
        return Look((*told, bad.problem), plane, num_slices=series.num_slices)
    return Look(tuple(told), plane, spacing, distance, series.num_slices)


def _look_at_enhanced(folder: Path, series: Series) -> Look:
    """A series of one file with many frames, or of its parts, by what they say of each frame."""
    told: list[Problem] = []
    try:
        parts = parts_in_order(folder, series.headers, told.append)
        with opened_enhanced(parts[0], None, None, told.append, parts) as stored:
            shape, spacing = extent(stored.shape, stored.affine)
    except BadFileError as bad:
        return Look((*told, bad.problem), num_slices=series.num_slices)
    told += shape_problems(series.first.path, shape, spacing)
    across = stored.affine[:3, 0]
    return Look(tuple(told), plane_of(across), spacing, float(np.linalg.norm(across)), series.num_slices)


def _look_at_stack(folder: Path, series: Series, told: list[Problem]) -> tuple[tuple[float, float, float], float]:
    """Spacing along right, front and head, and the distance of slices. Raises BadFileError where there is no stack."""
    _check_alike(folder, series.headers)
    headers = without_copies(folder, series.headers, told.append)
    normal = _normal(series.first)
    headers = sorted(headers, key=lambda header: float(_position(header) @ normal))
    positions = np.stack([_position(header) for header in headers])
    placed = Placed(headers, positions @ normal)
    check_places(folder, placed, told.append)
    step = (positions[-1] - positions[0]) / (len(headers) - 1)
    sine = float(np.linalg.norm(step - (step @ normal) * normal) / np.linalg.norm(step))
    if sine > _MAX_TILT:
        degrees = float(np.degrees(np.arcsin(min(1.0, sine))))
        message = f"has slices stacked {degrees:.1f} degrees off their normal"
        told.append(problem(folder, "content.tilted", message, degrees=degrees))
    rows, columns = series.first.shape or (0, 0)
    between_rows, between_columns = series.first.spacing_mm or (0.0, 0.0)
    orientation = np.array(series.first.orientation)
    affine = np.eye(4)
    affine[:3, :3] = np.stack(
        [placed.usual_mm * normal, orientation[3:] * between_rows, orientation[:3] * between_columns], axis=1
    )
    shape, spacing = extent((series.num_slices, rows, columns), LPS_TO_RAS @ affine)
    told += shape_problems(folder, shape, spacing)
    return spacing, placed.usual_mm


def _check_alike(folder: Path, headers: Sequence[DicomHeader]) -> None:
    """Raise BadFileError where slices have not all one grid."""
    first = headers[0]
    for one in headers[1:]:
        if one.shape != first.shape:
            what = f"has {one.shape} pixels and not {first.shape}"
        elif np.abs(np.subtract(one.orientation or (), first.orientation or ())).max() > _SAME_DIRECTION:
            what = "lies in another direction"
        elif np.abs(np.subtract(one.spacing_mm or 0, first.spacing_mm or 0)).max() > _SAME_SPACING_MM:
            what = f"has a spacing of {one.spacing_mm} mm and not {first.spacing_mm}"
        else:
            continue
        message = f"holds {first.path.name} and {one.path.name}, which {what}"
        raise BadFileError(problem(folder, "container.mixed", message))


def _normal(header: DicomHeader) -> np.ndarray:
    assert header.normal is not None
    return header.normal


def _position(header: DicomHeader) -> np.ndarray:
    return np.array(header.position)
