"""Pixels of DICOM files as they are packed: which transfer syntaxes are read, by what, and frame by frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simcrop.adapters.formats.dicom_codestream import read_codestream
from simcrop.adapters.formats.dicom_decoders import UndecodableError, by_gdcm, by_openjpeg, by_pydicom, is_installed
from simcrop.core.data.problems import bad_file

_MOST_PIXELS = 1 << 24
"""Of one frame: a matrix of 4096 x 4096."""
_BITS = (8, 16, 32)
_YES, _NO = "01", "00"


@dataclass(frozen=True)
class _Syntax:
    """A transfer syntax that is read.

    Attributes:
        name: in words.
        package: that unpacks it, beside pydicom; empty where none is needed.
        loss: whether it always has lost something, never has, or (None) may have.
    """

    name: str
    package: str = ""
    loss: bool | None = False


_UID = "1.2.840.10008.1.2"
_BIG_ENDIAN, _DEFLATED = f"{_UID}.2", f"{_UID}.1.99"
_NATIVE = frozenset({_UID, f"{_UID}.1", _BIG_ENDIAN, _DEFLATED})
_RLE = f"{_UID}.5"
_COMPRESSED: Mapping[str, _Syntax] = {
    _RLE: _Syntax("RLE"),
    f"{_UID}.4.50": _Syntax("JPEG Baseline", "gdcm", loss=True),
    f"{_UID}.4.51": _Syntax("JPEG Extended", "gdcm", loss=True),
    f"{_UID}.4.57": _Syntax("JPEG Lossless", "gdcm"),
    f"{_UID}.4.70": _Syntax("JPEG Lossless", "gdcm"),
    f"{_UID}.4.80": _Syntax("JPEG-LS", "gdcm"),
    f"{_UID}.4.81": _Syntax("JPEG-LS", "gdcm", loss=None),
    f"{_UID}.4.90": _Syntax("JPEG 2000", "openjpeg"),
    f"{_UID}.4.91": _Syntax("JPEG 2000", "openjpeg", loss=None),
    f"{_UID}.4.201": _Syntax("HTJ2K", "openjpeg"),
    f"{_UID}.4.202": _Syntax("HTJ2K", "openjpeg"),
    f"{_UID}.4.203": _Syntax("HTJ2K", "openjpeg", loss=None),
}


def check_packing(path: Path, dataset: Any) -> None:
    """Refuse, by the header alone, pixels that cannot be unpacked.

    Raises:
        BadFileError: packed in a way that is not read, or whose decoder is not installed; or compressed pixels of a
            matrix that no scanner has, which would be believed until they are unpacked.
    """
    uid = _syntax_uid(dataset)
    syntax = _COMPRESSED.get(uid)
    if syntax is None:
        if uid in _NATIVE:
            return
        names = ", ".join(dict.fromkeys(each.name for each in _COMPRESSED.values()))
        message = f"is compressed as {_name(uid)}; uncompressed files, {names} are read"
        raise bad_file(path, "container.compressed", message, transfer_syntax=uid)
    if syntax.package and not is_installed(syntax.package):
        message = f"is compressed as {_name(uid)}, and its decoder ({syntax.package}) is not installed"
        raise bad_file(path, "container.no_decoder", message, transfer_syntax=uid, package=syntax.package)
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    if rows * columns > _MOST_PIXELS:
        message = f"declares {rows} rows and {columns} columns, which no matrix of CT has"
        raise bad_file(path, "header.dims_huge", message, rows=rows, columns=columns)


def is_native(dataset: Any) -> bool:
    """Whether the pixels lie there number by number."""
    return _syntax_uid(dataset) in _NATIVE


def is_deflated(dataset: Any) -> bool:
    """Whether the file as a whole is packed, so that it may be shorter than its pixels."""
    return _syntax_uid(dataset) == _DEFLATED


def loss(dataset: Any) -> str:
    """The compression by which a file says that it lost something; empty where it lost nothing.

    An object keeps saying so when it is unpacked, and is then named by its former method, or in general.
    """
    uid, said = _syntax_uid(dataset), str(dataset.get("LossyImageCompression") or "")
    syntax = _COMPRESSED.get(uid)
    by_syntax = syntax is not None and (syntax.loss or (syntax.loss is None and said != _NO))
    if by_syntax and syntax is not None:
        return syntax.name
    if said != _YES:
        return ""
    return str(dataset.get("LossyImageCompressionMethod") or "a method that is not named")


def bits_of(path: Path, dataset: Any) -> tuple[int, int]:
    """How many bits a pixel takes, and how many of them count. Raises BadFileError where no number is so made."""
    bits, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if bits not in _BITS or not 1 <= stored <= bits:
        message = f"has {stored} bits in {bits} for a pixel; expected {', '.join(map(str, _BITS))}"
        raise bad_file(path, "header.datatype", message, bits_allocated=bits, bits_stored=stored)
    return bits, stored


def frames_of(path: Path, dataset: Any, count: int) -> Sequence[bytes | memoryview]:
    """The bytes of every frame, packed as they are in the file.

    Args:
        path: for messages.
        dataset: of the whole file.
        count: of frames, as the file declares them.

    Raises:
        BadFileError: fewer or more frames.
    """
    from pydicom.encaps import generate_frames

    data = dataset.PixelData
    if is_native(dataset):
        return _cut(path, data, int(dataset.Rows) * int(dataset.Columns) * int(dataset.BitsAllocated) // 8, count)
    offsets = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    frames = list(generate_frames(data, number_of_frames=count, extended_offsets=None if None in offsets else offsets))
    if len(frames) != count:
        code = "container.truncated" if len(frames) < count else "container.length"
        message = f"holds {len(frames)} frames, and its header declares {count}"
        raise bad_file(path, code, message, frames=len(frames), declared=count)
    return frames


def _cut(path: Path, data: bytes, num_bytes: int, count: int) -> Sequence[memoryview]:
    """Frames of equal length; what follows them, if it is no whole frame, is padding (PS3.5, 8.1.1)."""
    declared = count * num_bytes
    if not declared <= len(data) < declared + max(2, num_bytes):
        code = "container.truncated" if len(data) < declared else "container.length"
        message = f"holds {len(data)} bytes of pixels, and its header declares {declared}"
        raise bad_file(path, code, message, bytes=len(data), declared=declared)
    view = memoryview(data)
    return [view[number * num_bytes : (number + 1) * num_bytes] for number in range(count)]


def unpacked(path: Path, dataset: Any, frame: bytes | memoryview) -> np.ndarray:
    """Stored numbers [row, column] of one frame.

    Args:
        path: for messages.
        dataset: of the file.
        frame: one of `frames_of`.

    Raises:
        BadFileError: damaged, cut off, or of another size than declared.
    """
    uid, shape = _syntax_uid(dataset), (int(dataset.Rows), int(dataset.Columns))
    bits, stored = bits_of(path, dataset)
    if uid in _NATIVE:
        values = np.frombuffer(frame, f"{'>' if uid == _BIG_ENDIAN else '<'}u{bits // 8}").reshape(shape)
    else:
        values, stored = _decoded(path, uid, bytes(frame), shape, bits, stored)
    return _as_numbers(values, stored, is_signed=bool(int(dataset.get("PixelRepresentation") or 0)))


def _decoded(
    path: Path, uid: str, frame: bytes, shape: tuple[int, int], bits: int, stored: int
) -> tuple[np.ndarray, int]:
    """The numbers, and how many of their bits count."""
    syntax = _COMPRESSED[uid]
    try:
        if uid == _RLE:
            return by_pydicom(frame, shape, bits), stored
        stream = read_codestream(path, syntax.name, frame, shape)
        if syntax.package == "openjpeg":
            return by_openjpeg(frame).reshape(shape), stream.bits
        counting = min(stored, stream.bits)
        return by_gdcm(frame, uid, stream, counting if syntax.loss else stream.bits), counting
    except UndecodableError as error:
        message = f"its pixels, compressed as {syntax.name}, cannot be unpacked ({error})"
        raise bad_file(path, "container.corrupt", message, transfer_syntax=uid) from error


def _as_numbers(values: np.ndarray, bits: int, *, is_signed: bool) -> np.ndarray:
    """Numbers of which only the lowest bits count; the highest of these is the sign, where there is one."""
    numbers = values.astype(np.int64) & ((1 << bits) - 1)
    sign = 1 << (bits - 1)
    return (numbers ^ sign) - sign if is_signed else numbers


def _syntax_uid(dataset: Any) -> str:
    return str(dataset.file_meta.TransferSyntaxUID)


def _name(uid: str) -> str:
    from pydicom.uid import UID

    name = str(UID(uid).name)
    return f"{name} (transfer syntax {uid})" if name != uid else f"transfer syntax {uid}"
