"""The slices of a DICOM series: what each header says, and its pixels in HU. pydicom is imported when it is needed."""

import math
import struct
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from simcrop.adapters.formats.container import opened_bytes
from simcrop.adapters.formats.dicom_pixels import check_packing, frames_of, is_deflated, is_native, loss, unpacked
from simcrop.adapters.formats.stored import hu_dtype
from simcrop.adapters.problems.paths import refuse_link_out
from simcrop.core.data.augment import AIR_HU
from simcrop.core.data.problems import BadFileError, bad_file
from simcrop.core.errors import DataError, one_line

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
        loss: the compression that lost something of it; empty where none did.
        frame: of a file that holds several, counted from 0; None of a file that is one slice.
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
    loss: str = ""
    frame: int | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return self.path.name if self.frame is None else f"frame {self.frame + 1}"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of HU without loss."""
        return hu_dtype(self.slope, self.intercept) if self.bits <= 16 else np.dtype(np.float32)


def require_pydicom() -> ModuleType:
    """The package. Raises DataError in one line where it is not installed."""
    try:
        import pydicom
    except ImportError as error:
        raise DataError("data.source: dicom needs pydicom; pip install 'simcrop[dicom]'") from error
    return pydicom


def read_header(path: Path, root: Path) -> DicomSlice:
    """Read the header of a slice; its pixels are not read.

    Args:
        path: the file.
        root: folder of the data set, which links must not leave.

    Raises:
        BadFileError: no DICOM, no single slice of a scan, compressed in a way that is not read, or shorter than its
            pixels.
    """
    with opened_dataset(path, root, stop_before_pixels=True) as dataset:
        check_packing(path, dataset)
        if int(dataset.get("NumberOfFrames") or 1) != 1:
            raise bad_file(path, "content.not_3d", "holds several frames; expected one slice")
        described = described_slice(path, dataset, loss(dataset))
        num_bytes, declared = path.stat().st_size, math.prod(described.shape) * described.bits // 8
        if is_native(dataset) and num_bytes < declared and not is_deflated(dataset):
            message = f"has {num_bytes} bytes, and its header declares {declared} of pixels"
            raise bad_file(path, "container.truncated", message, bytes=num_bytes, declared=declared)
        return described


def described_slice(path: Path, elements: Any, lost: str) -> DicomSlice:
    """A slice as the elements of its header have it.

    Args:
        path: the file.
        elements: a data set of pydicom, or what has its `get`.
        lost: the compression that lost something of it; empty where none did.

    Raises:
        BadFileError: in colours, or an element that is needed is missing, or has a value that cannot be followed.
    """
    if int(elements.get("SamplesPerPixel") or 1) != 1:
        raise bad_file(path, "content.not_3d", "holds colours; expected the numbers of a scan")
    rows, columns = int(_needed(path, elements, "Rows")), int(_needed(path, elements, "Columns"))
    if min(rows, columns) < 1:
        raise bad_file(path, "header.dims", f"declares {rows} rows and {columns} columns")
    padding = elements.get("PixelPaddingValue")
    return DicomSlice(
        path=path,
        series=str(_needed(path, elements, "SeriesInstanceUID")),
        shape=(rows, columns),
        position=np.array(_numbers(path, elements, "ImagePositionPatient", 3)),
        directions=np.reshape(_numbers(path, elements, "ImageOrientationPatient", 6), (2, 3)),
        spacing=_spacing(path, elements),
        slope=_scaling(path, elements, "RescaleSlope"),
        intercept=_scaling(path, elements, "RescaleIntercept"),
        bits=int(_needed(path, elements, "BitsAllocated")),
        padding=None if padding is None else int(padding),
        loss=lost,
    )


def read_pixels(header: DicomSlice, root: Path, dtype: np.dtype[Any], padding_value: float | None) -> np.ndarray:
    """HU [row, column]; what is padding by the header, or by declaration, is air.

    Args:
        header: of the slice.
        root: as for `read_header`.
        dtype: of the answer.
        padding_value: HU that stand for "outside the field of view".

    Raises:
        BadFileError: the pixels are fewer or more than the header declares, or their compressed stream is damaged.
    """
    path = header.path
    with opened_dataset(path, root) as dataset:
        num_bytes = len(_needed(path, dataset, "PixelData"))
        if is_native(dataset):
            declared = math.prod(header.shape) * int(dataset.BitsAllocated) // 8
            if not declared <= num_bytes <= declared + declared % 2:
                code = "container.truncated" if num_bytes < declared else "container.length"
                message = f"holds {num_bytes} bytes of pixels, and its header declares {declared}"
                raise bad_file(path, code, message, bytes=num_bytes, declared=declared)
            stored = np.asarray(dataset.pixel_array)
        else:
            stored = unpacked(path, dataset, frames_of(path, dataset, 1)[0])
    return in_hu(header, stored, dtype, padding_value)


def in_hu(header: DicomSlice, stored: np.ndarray, dtype: np.dtype[Any], padding_value: float | None) -> np.ndarray:
    """HU of the stored numbers of a slice; arguments and answer are those of `read_pixels`."""
    with np.errstate(over="ignore"):  # beyond any HU: infinite, and refused as such
        hu = stored.astype(np.float64) * header.slope + header.intercept
    if header.padding is not None:
        hu[stored == header.padding] = AIR_HU
    if padding_value is not None:
        hu[hu == padding_value] = AIR_HU
    with np.errstate(over="ignore"):
        return hu.astype(dtype)


@contextmanager
def opened_dataset(path: Path, root: Path | None, *, stop_before_pixels: bool = False) -> Generator[Any]:
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
