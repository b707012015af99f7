"""A folder of DICOM slices as one volume: sorted, checked against each other, read slice by slice."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from simcrop.adapters.formats.dicom_bytes import require_pydicom
from simcrop.adapters.formats.dicom_headers import DicomHeader
from simcrop.adapters.formats.dicom_places import Placed, check_places, without_copies
from simcrop.adapters.formats.dicom_series import chosen, contents_of, damage_in, passed_over
from simcrop.adapters.formats.dicom_slices import DicomSlice, read_header, read_pixels
from simcrop.adapters.formats.geometry import LPS_TO_RAS, check_affine
from simcrop.adapters.formats.stored import StoredVolume, check_shape
from simcrop.adapters.problems.content import PaddingValue
from simcrop.core.data.problems import OnProblem, bad_file, problem

_SAME_DIRECTION, _SAME_SPACING_MM = 1e-3, 1e-3
_MAX_TILT = 0.02
"""Sine of the angle between stack and normal: one degree."""
_MAX_SIDEWAYS = 0.5
"""Of a pixel: how far off a straight line slices may lie."""


@contextmanager
def opened_series(
    folder: Path, root: Path, padding_value: PaddingValue, on_problem: OnProblem, wanted: str | None = None
) -> Generator[StoredVolume]:
    """A series of DICOM slices as one volume, read slice by slice.

    Args:
        folder: of one or several series.
        root: of the data set, which links must not leave.
        padding_value: as in `DicomSource`.
        on_problem: is told of gaps and tilt, and of what else lies in the folder and is passed over.
        wanted: UID, number or description of the series; None where the folder holds one volume.

    Raises:
        DataError: pydicom is not installed.
        BadFileError: no such series or several, of several grids, damaged, or too few slices.
    """
    require_pydicom()
    contents = contents_of(folder, root)
    series = chosen(folder, contents, wanted)
    for found in passed_over(folder, contents, series):
        on_problem(found)
    if contents.damaged:
        raise damage_in(contents)
    if series.is_enhanced:
        message = "is an enhanced CT, which holds a volume in one file and is not read; export it as classic slices"
        raise bad_file(series.first.path, "content.not_3d", message)
    headers = without_copies(folder, series.headers, on_problem)
    slices, affine = _stacked(folder, headers, [read_header(each.path, root) for each in headers], on_problem)
    shape = check_shape(folder, (len(slices), *slices[0].shape))
    is_whole = all(one.dtype.kind == "i" for one in slices)
    dtype = np.dtype(np.int32 if is_whole else np.float32)
    chunks = (read_pixels(one, root, dtype, padding_value).ravel() for one in slices)
    yield StoredVolume(shape, dtype, affine, chunks, "C")


def _stacked(
    folder: Path, headers: Sequence[DicomHeader], slices: Sequence[DicomSlice], on_problem: OnProblem
) -> tuple[Sequence[DicomSlice], np.ndarray]:
    """The slices in order along their normal, and the affine from (slice, row, column) to mm, RAS.

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
    order = sorted(range(len(slices)), key=lambda place: float(slices[place].position @ normal))
    slices = [slices[place] for place in order]
    positions = np.stack([one.position for one in slices])
    check_places(folder, Placed([headers[place] for place in order], positions @ normal), on_problem)
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
        raise bad_file(folder, "container.mixed", f"holds {first.path.name} and {one.path.name}, which {what}")


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
