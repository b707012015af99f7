"""A folder of DICOM slices as one volume: sorted, checked against each other, read slice by slice."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from simcrop.adapters.formats.dicom_bytes import require_pydicom
from simcrop.adapters.formats.dicom_enhanced import opened_enhanced
from simcrop.adapters.formats.dicom_parts import parts_in_order
from simcrop.adapters.formats.dicom_places import Placed, check_places, without_copies
from simcrop.adapters.formats.dicom_series import chosen, contents_of, damage_in, passed_over
from simcrop.adapters.formats.dicom_slices import DicomSlice, read_header, read_pixels
from simcrop.adapters.formats.dicom_stacking import note_loss, stacked
from simcrop.adapters.formats.stored import StoredVolume, check_shape
from simcrop.adapters.problems.content import PaddingValue
from simcrop.core.data.problems import OnProblem


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
        parts = parts_in_order(folder, series.headers, on_problem)
        with opened_enhanced(parts[0], root, padding_value, on_problem, parts) as stored:
            yield stored
        return
    headers = without_copies(folder, series.headers, on_problem)
    by_path = {header.path: header for header in headers}

    def check(slices: Sequence[DicomSlice], heights: np.ndarray) -> None:
        check_places(folder, Placed([by_path[one.path] for one in slices], heights), on_problem)

    slices, affine = stacked(folder, [read_header(each.path, root) for each in headers], check, on_problem)
    note_loss(folder, slices, on_problem)
    shape = check_shape(folder, (len(slices), *slices[0].shape))
    is_whole = all(one.dtype.kind == "i" for one in slices)
    dtype = np.dtype(np.int32 if is_whole else np.float32)
    chunks = (read_pixels(one, root, dtype, padding_value).ravel() for one in slices)
    yield StoredVolume(shape, dtype, affine, chunks, "C")
