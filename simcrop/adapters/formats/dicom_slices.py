"""The slices of a DICOM series: what each header says, and its pixels in HU. pydicom is imported when it is needed."""

import math
import struct
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simcrop.adapters.formats.container import opened_bytes
from simcrop.adapters.formats.dicom_bytes import require_pydicom
from simcrop.adapters.formats.stored import hu_dtype
from simcrop.adapters.problems.paths import refuse_link_out
from simcrop.core.data.augment import AIR_HU
from simcrop.core.data.problems import BadFileError, bad_file
from simcrop.core.errors import one_line

_UNCOMPRESSED = {
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
    "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
}
_DAMAGE = (ValueError, TypeError, AttributeError, KeyError, NotImplementedError, OverflowError, struct.error)
"""What pydicom raises at bytes that are no DICOM."""


@dataclass(frozen=True, eq=False)
class DicomSlice:
    """One slice, as its header describes it.

    Attributes:
        series: UID.
        shape: rows and columns.
        position: of the first pixel's centre, mm, LPS.
        directions: [2, 3] unit vectors along a row and along a column, LPS.
        spacing: mm between rows, and between columns.
        slope, intercept: HU = slope * stored + intercept.
        bits: of a stored number.
        padding: stored value outside the field of view, or None.
    """

    path: Path
    series: str
    shape: tuple[int, int]
    position: np.ndarray
    directions: np.ndarray
    spacing: tuple[float, float]
    slope: float
    intercept: float
    bits: int
    padding: int | None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of HU without loss."""
        return hu_dtype(self.slope, self.intercept) if self.bits <= 16 else np.dtype(np.float32)


def read_header(path: Path, root: Path) -> DicomSlice:
    """Read the header of a slice; its pixels are not read.

    Args:
        path: the file.
        root: folder of the data set, which links must not leave.

    Raises:
        BadFileError: no DICOM, no single slice of a scan, compressed, or shorter than its pixels.
    """
    with _dataset(path, root, stop_before_pixels=True) as dataset:
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        if syntax not in _UNCOMPRESSED:
            message = f"is compressed (transfer syntax {syntax}); {', '.join(_UNCOMPRESSED.values())} are read"
            raise bad_file(path, "container.compressed", message, transfer_syntax=syntax)
        if int(dataset.get("NumberOfFrames") or 1) != 1 or int(dataset.get("SamplesPerPixel") or 1) != 1:
            raise bad_file(path, "content.not_3d", "holds several frames, or colours; expected one slice")
        rows, columns = int(_needed(path, dataset, "Rows")), int(_needed(path, dataset, "Columns"))
        if min(rows, columns) < 1:
            raise bad_file(path, "header.dims", f"declares {rows} rows and {columns} columns")
        bits = int(_needed(path, dataset, "BitsAllocated"))
        num_bytes, declared = path.stat().st_size, rows * columns * bits // 8
        if num_bytes < declared:
            message = f"has {num_bytes} bytes, and its header declares {declared} of pixels"
            raise bad_file(path, "container.truncated", message, bytes=num_bytes, declared=declared)
        padding = dataset.get("PixelPaddingValue")
        return DicomSlice(
            path=path,
            series=str(_needed(path, dataset, "SeriesInstanceUID")),
            shape=(rows, columns),
            position=np.array(_numbers(path, dataset, "ImagePositionPatient", 3)),
            directions=np.reshape(_numbers(path, dataset, "ImageOrientationPatient", 6), (2, 3)),
            spacing=_spacing(path, dataset),
            slope=_scaling(path, dataset, "RescaleSlope"),
            intercept=_scaling(path, dataset, "RescaleIntercept"),
            bits=bits,
            padding=None if padding is None else int(padding),
        )


def read_pixels(header: DicomSlice, root: Path, dtype: np.dtype[Any], padding_value: float | None) -> np.ndarray:
    """HU [row, column]; what is padding by the header, or by declaration, is air.

    Args:
        header: of the slice.
        root: as for `read_header`.
        dtype: of the answer.
        padding_value: HU that stand for "outside the field of view".

    Raises:
        BadFileError: the pixels are fewer or more than the header declares.
    """
    path = header.path
    with _dataset(path, root) as dataset:
        num_bytes = len(_needed(path, dataset, "PixelData"))
        declared = math.prod(header.shape) * int(dataset.BitsAllocated) // 8
        if not declared <= num_bytes <= declared + declared % 2:
            code = "container.truncated" if num_bytes < declared else "container.length"
            message = f"holds {num_bytes} bytes of pixels, and its header declares {declared}"
            raise bad_file(path, code, message, bytes=num_bytes, declared=declared)
        stored = np.asarray(dataset.pixel_array)
    with np.errstate(over="ignore"):  # beyond any HU: infinite, and refused as such
        hu = stored.astype(np.float64) * header.slope + header.intercept
    if header.padding is not None:
        hu[stored == header.padding] = AIR_HU
    if padding_value is not None:
        hu[hu == padding_value] = AIR_HU
    with np.errstate(over="ignore"):
        return hu.astype(dtype)


@contextmanager
def _dataset(path: Path, root: Path, *, stop_before_pixels: bool = False) -> Generator[Any]:
    """A file's data elements; what goes wrong while they are looked at is a BadFileError."""
    pydicom = require_pydicom()
    refuse_link_out(root, path)
    with opened_bytes(path) as file:
        try:
            yield pydicom.dcmread(file, stop_before_pixels=stop_before_pixels)
        except BadFileError:
            raise
        except pydicom.errors.InvalidDicomError as error:
            raise bad_file(path, "container.format", "is no DICOM file (it has no DICM at byte 128)") from error
        except EOFError as error:
            raise bad_file(path, "container.truncated", "is cut off inside its header") from error
        except (*_DAMAGE, pydicom.errors.BytesLengthException) as error:
            raise bad_file(path, "container.corrupt", f"its DICOM data is damaged ({one_line(error)[:200]})") from error


def _needed(path: Path, dataset: Any, name: str) -> Any:
    value = dataset.get(name)
    if value is None or value == "":
        raise bad_file(path, "header.invalid", f"has no {name}", element=name)
    return value


def _numbers(path: Path, dataset: Any, name: str, count: int) -> Sequence[float]:
    values = [float(value) for value in _needed(path, dataset, name)]
    if len(values) != count or not all(math.isfinite(value) for value in values):
        raise bad_file(path, "header.invalid", f"has {name} = {values}; expected {count} numbers")
    return values


def _spacing(path: Path, dataset: Any) -> tuple[float, float]:
    rows, columns = _numbers(path, dataset, "PixelSpacing", 2)
    if not (rows > 0 and columns > 0):
        raise bad_file(path, "header.pixdim", f"gives the spacing of its pixels as {rows} x {columns} mm")
    return rows, columns


def _scaling(path: Path, dataset: Any, name: str) -> float:
    value = dataset.get(name)
    if value is None or not math.isfinite(float(value)) or (name == "RescaleSlope" and not float(value)):
        raise bad_file(path, "header.scaling", f"has {name} = {value}, so its HU are unknown", element=name)
    return float(value)
