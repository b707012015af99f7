"""The slices of a DICOM series: what each header says, and its pixels in HU. pydicom is imported when it is needed."""

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simcrop.adapters.formats.dicom_bytes import (
    BehindPixels,
    begins_as_gzip,
    followed,
    is_start_of_dicom,
    opened_dicom,
    require_pydicom,
)
from simcrop.adapters.formats.dicom_pixels import check_packing, frames_of, is_deflated, is_native, loss, unpacked
from simcrop.adapters.formats.dicom_values import OddValueError, number, numbers, text, whole
from simcrop.adapters.formats.stored import hu_dtype
from simcrop.adapters.problems.content import PaddingValue, padding_values
from simcrop.adapters.problems.paths import refuse_link_out
from simcrop.core.data.augment import AIR_HU
from simcrop.core.data.problems import bad_file
from simcrop.core.errors import one_line

_SYNTAX_OF = {
    (True, True): "1.2.840.10008.1.2",
    (False, True): "1.2.840.10008.1.2.1",
    (False, False): "1.2.840.10008.1.2.2",
}
"""By whether elements have no representation of their own, and begin with the lowest byte."""
MOST_BESIDE = 1 << 24
"""Bytes that the elements around the pixels may take where gzip packed the file."""
_MOST_BYTES = 1 << 29
_MATTER_HU = (-900, 2000)
"""Padding that lies here is believed where a corner of the slice holds it: the rim around a scanned circle does."""


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
        padding: lowest and highest stored value outside the field of view, or None.
        loss: the compression that lost something of it; empty where none did.
        frame: of a file that holds several, counted from 0; None of a file that is one slice.
        before: frames of the volume that lie in the files before.
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
    padding: tuple[int, int] | None
    loss: str = ""
    frame: int | None = None
    before: int = 0

    @property
    def name(self) -> str:
        """For messages."""
        return self.path.name if self.frame is None else f"frame {self.before + self.frame + 1}"

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
        BadFileError: no DICOM, no single slice of a scan, compressed in a way that is not read, or shorter than its
            pixels.
    """
    with opened_dataset(path, root, stop_before_pixels=True) as dataset:
        check_packing(path, dataset)
        if _whole(path, dataset, "NumberOfFrames", 1) != 1:
            raise bad_file(path, "content.not_3d", "holds several frames; expected one slice")
        described = described_slice(path, dataset, loss(dataset))
        num_bytes, declared = path.stat().st_size, math.prod(described.shape) * described.bits // 8
        is_packed = not is_native(dataset) or is_deflated(dataset) or begins_as_gzip(path)
        if num_bytes < declared and not is_packed:
            message = f"has {num_bytes} bytes, and its header declares {declared} of pixels"
            raise bad_file(path, "container.truncated", message, bytes=num_bytes, declared=declared)
        return described


def described_slice(path: Path, elements: Any, lost: str) -> DicomSlice:
    """A slice as the elements of its header have it.

    Args:
        path: the file.
        elements: a data set of pydicom, or what has its `get` and `get_item`.
        lost: the compression that lost something of it; empty where none did.

    Raises:
        BadFileError: in colours, or an element that is needed is missing, or has a value that cannot be followed.
    """
    if _whole(path, elements, "SamplesPerPixel", 1) != 1:
        raise bad_file(path, "content.not_3d", "holds colours; expected the numbers of a scan")
    rows, columns = _whole(path, elements, "Rows"), _whole(path, elements, "Columns")
    if min(rows, columns) < 1:
        raise bad_file(path, "header.dims", f"declares {rows} rows and {columns} columns")
    bits = _whole(path, elements, "BitsAllocated")
    if bits not in (8, 16, 32):
        raise bad_file(path, "header.datatype", f"stores numbers of {bits} bits; 8, 16 and 32 are read", bits=bits)
    stored = _whole(path, elements, "BitsStored")
    if not 1 <= stored <= bits:
        raise bad_file(path, "header.invalid", f"has BitsStored = {stored}, of {bits} bits", element="BitsStored")
    colours = text(elements, "PhotometricInterpretation") or "MONOCHROME2"
    if not colours.startswith("MONOCHROME"):
        raise bad_file(path, "header.datatype", f"holds {colours}; CT is MONOCHROME2", colours=colours)
    return DicomSlice(
        path=path,
        series=text(elements, "SeriesInstanceUID"),
        shape=(rows, columns),
        position=np.array(_numbers(path, elements, "ImagePositionPatient", 3)),
        directions=np.reshape(_numbers(path, elements, "ImageOrientationPatient", 6), (2, 3)),
        spacing=_spacing(path, elements),
        slope=_scaling(path, elements, "RescaleSlope"),
        intercept=_scaling(path, elements, "RescaleIntercept"),
        bits=bits,
        padding=_padding(path, elements, bits),
        loss=lost,
    )


def read_pixels(header: DicomSlice, root: Path, dtype: np.dtype[Any], padding_value: PaddingValue = None) -> np.ndarray:
    """HU [row, column]; what is padding by the header, or by declaration, is air.

    Args:
        header: of the slice.
        root: as for `read_header`.
        dtype: of the answer.
        padding_value: HU that stand for "outside the field of view".

    Raises:
        BadFileError: the pixels are fewer than the header declares, or their compressed stream is damaged.
    """
    path = header.path
    declared = math.prod(header.shape) * header.bits // 8
    with opened_dataset(path, root, min(declared + MOST_BESIDE, _MOST_BYTES)) as dataset:
        num_bytes = len(_needed(path, dataset, "PixelData"))
        if is_native(dataset):
            if num_bytes < declared:
                message = f"holds {num_bytes} bytes of pixels, and its header declares {declared}"
                raise bad_file(path, "container.truncated", message, bytes=num_bytes, declared=declared)
            if num_bytes > declared + declared % 2:  # readers shall ignore what is behind the pixels (PS3.5, 8.1.1)
                dataset.PixelData = dataset.PixelData[: declared + declared % 2]
            for name, usual in (("SamplesPerPixel", 1), ("PhotometricInterpretation", "MONOCHROME2")):
                if dataset.get(name) in (None, ""):
                    setattr(dataset, name, usual)
            stored = np.asarray(dataset.pixel_array)
        else:
            stored = unpacked(path, dataset, frames_of(path, dataset, 1)[0])
    return in_hu(header, stored, dtype, padding_value)


def in_hu(header: DicomSlice, stored: np.ndarray, dtype: np.dtype[Any], padding_value: PaddingValue) -> np.ndarray:
    """HU of the stored numbers of a slice; arguments and answer are those of `read_pixels`."""
    with np.errstate(over="ignore"):  # beyond any HU: infinite, and refused as such
        hu = stored.astype(np.float64) * header.slope + header.intercept
    if header.padding is not None:
        _fill(hu, stored, header.padding)
    if padding_value is not None:
        hu[np.isin(hu, padding_values(padding_value))] = AIR_HU
    with np.errstate(over="ignore"):
        return hu.astype(dtype)


def _fill(hu: np.ndarray, stored: np.ndarray, padding: tuple[int, int]) -> None:
    """Air in place of padding. What could be matter of the body is padding only where the slice's rim is made of it."""
    is_padding = (stored >= padding[0]) & (stored <= padding[1])
    if not is_padding.any():
        return
    found = hu[is_padding]
    if (
        found.max() > _MATTER_HU[0]
        and found.min() < _MATTER_HU[1]
        and not is_padding[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    ):
        return
    hu[is_padding] = AIR_HU


@contextmanager
def opened_dataset(
    path: Path, root: Path | None, most: int = MOST_BESIDE, *, stop_before_pixels: bool = False
) -> Generator[Any]:
    """A file's data elements; what goes wrong while they are looked at is a BadFileError.

    Args:
        path: the file.
        root: of the data set, which links must not leave; None where they may.
        most: bytes that gzip or deflate may unpack to.
        stop_before_pixels: whether the header is enough.
    """
    pydicom = require_pydicom()
    refuse_link_out(root, path)
    with opened_dicom(path, most, whole=not stop_before_pixels) as file, followed(path):
        start = file.read(512)
        file.seek(0)
        if not is_start_of_dicom(start):
            raise bad_file(path, "container.format", "is no DICOM file (it has no DICM at byte 128)")
        behind = BehindPixels(includes_pixels=not stop_before_pixels)
        dataset = pydicom.filereader.read_partial(file, stop_when=behind, force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:  # pydicom has found out how the elements are written
            dataset.file_meta.TransferSyntaxUID = _SYNTAX_OF[dataset.original_encoding]
        yield dataset


def _needed(path: Path, dataset: Any, name: str) -> Any:
    value = dataset.get(name)
    if value is None or value == "":
        raise bad_file(path, "header.invalid", f"has no {name}", element=name)
    return value


def _whole(path: Path, dataset: Any, name: str, default: int | None = None) -> int:
    try:
        value = whole(dataset, name)
    except OddValueError as error:
        raise bad_file(path, "header.invalid", one_line(error), element=name) from error
    value = default if value is None else value
    if value is None:
        raise bad_file(path, "header.invalid", f"has no {name}", element=name)
    return value


def _numbers(path: Path, dataset: Any, name: str, count: int) -> Sequence[float]:
    try:
        values = numbers(dataset, name)
    except OddValueError as error:
        raise bad_file(path, "header.invalid", one_line(error), element=name) from error
    if not values:
        raise bad_file(path, "header.invalid", f"has no {name}", element=name)
    if len(values) != count or not all(math.isfinite(value) for value in values):
        raise bad_file(path, "header.invalid", f"has {name} = {list(values)}; expected {count} numbers", element=name)
    return values


def _spacing(path: Path, dataset: Any) -> tuple[float, float]:
    rows, columns = _numbers(path, dataset, "PixelSpacing", 2)
    if not (rows > 0 and columns > 0):
        raise bad_file(path, "header.pixdim", f"gives the spacing of its pixels as {rows} x {columns} mm")
    return rows, columns


def _scaling(path: Path, dataset: Any, name: str) -> float:
    try:
        value = number(dataset, name)
    except OddValueError as error:
        raise bad_file(path, "header.scaling", f"{one_line(error)}, so its HU are unknown", element=name) from error
    if value is None or not math.isfinite(value) or (name == "RescaleSlope" and not value):
        raise bad_file(path, "header.scaling", f"has {name} = {value}, so its HU are unknown", element=name)
    return value


def _padding(path: Path, dataset: Any, bits: int) -> tuple[int, int] | None:
    """Lowest and highest stored value of padding, whether they are written with a sign or without; None without one."""
    is_signed = _whole(path, dataset, "PixelRepresentation") == 1
    try:
        first = whole(dataset, "PixelPaddingValue")
        last = whole(dataset, "PixelPaddingRangeLimit")
    except OddValueError:
        return None  # where it matters, the voxels show it
    if first is None:
        return None
    ends = [_as_stored(value, bits, is_signed=is_signed) for value in (first, first if last is None else last)]
    return min(ends), max(ends)


def _as_stored(value: int, bits: int, *, is_signed: bool) -> int:
    value %= 1 << bits
    return value - (1 << bits) if is_signed and value >= 1 << (bits - 1) else value
