"""MetaImage volumes: lines `key = value` (.mhd), the last of which names the file of the voxels (.raw, .zraw) or says
that they follow (.mha)."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from simcrop.adapters.formats.geometry import LPS_TO_RAS, check_affine
from simcrop.adapters.formats.stored import Header, check_shape
from simcrop.adapters.formats.text_header import data_file, opened_behind
from simcrop.core.data.problems import BadFileError, OnProblem, bad_file

_LINE_BYTES = 1 << 16
_LAST = "ElementDataFile"
_LOCAL = "LOCAL"
_DTYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_OFFSET = ("Offset", "Position", "Origin")
_MATRIX = ("TransformMatrix", "Rotation", "Orientation")
_ORDER = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
_MAX_ROTATION_ERROR = 1e-3
_FLAGS = {"True": True, "False": False}


def parse_mhd(path: Path, start: bytes, on_problem: OnProblem) -> Header:
    """The header in a file's first bytes. The affine decides on the axes; `AnatomicalOrientation` is not read.

    Raises:
        BadFileError: where the voxels cannot be found, or placed in the patient; everything else is told.
    """
    fields, end = _fields(path, start)
    for key, wanted in (("ObjectType", "Image"), ("BinaryData", "True"), ("HeaderSize", "0")):
        if fields.get(key, wanted) != wanted:
            raise _invalid(path, key, fields[key], wanted)
    dtype = _DTYPES.get(fields.get("ElementType", ""))
    if dtype is None:
        message = f"has voxels of type {fields.get('ElementType')!r}; expected one of {', '.join(_DTYPES)}"
        raise bad_file(path, "header.datatype", message)
    channels = fields.get("ElementNumberOfChannels", "1")
    if channels != "1" or fields.get("NDims") != "3":
        message = f"has {fields.get('NDims')} axes and {channels} channels; a 3D volume is needed"
        raise bad_file(path, "content.not_3d", message)
    size = _numbers(path, fields, ("DimSize",), 3)
    if any(n != int(n) for n in size):
        raise _invalid(path, "DimSize", fields["DimSize"], "three whole numbers")
    affine = _affine(path, fields)
    check_affine(path, affine, on_problem)
    is_compressed = _flag(path, fields, ("CompressedData",))
    packed = _numbers(path, fields, ("CompressedDataSize",), 1) if "CompressedDataSize" in fields else None
    name = fields[_LAST]
    return Header(
        shape=check_shape(path, tuple(int(n) for n in size)),
        dtype=np.dtype((">" if _flag(path, fields, _ORDER) else "<") + dtype),
        affine=affine,
        data_file=path if name == _LOCAL else data_file(path, _LAST, name),
        offset=end if name == _LOCAL else 0,
        packing="zlib" if is_compressed else "raw",
        packed_bytes=int(packed[0]) if packed else None,
    )


def _fields(path: Path, start: bytes) -> tuple[Mapping[str, str], int]:
    """The lines up to the last, and where they end."""
    fields: dict[str, str] = {}
    position = 0
    while position < len(start):
        line, newline, _ = start[position : position + _LINE_BYTES].partition(b"\n")
        position += len(line) + len(newline)
        key, equals, value = (part.strip() for part in line.decode("latin-1").partition("="))
        if not key and not equals:
            continue
        if not (equals and key.isascii() and key.isidentifier()):
            raise bad_file(path, "container.format", f"is no MetaImage header (it has the line {line[:40]!r})")
        if key in fields:
            raise _invalid(path, key, value, "one line for it")
        fields[key] = value
        if key == _LAST:
            if value != _LOCAL and start[position:].strip():
                raise bad_file(path, "container.trailing", f"goes on after {_LAST}, its last line")
            return fields, position
    code = "container.truncated" if "ObjectType" in fields or "NDims" in fields else "container.format"
    raise bad_file(path, code, f"is no whole MetaImage header (it has no {_LAST})")


def _affine(path: Path, fields: Mapping[str, str]) -> np.ndarray:
    spacing = _numbers(path, fields, ("ElementSpacing",), 3, "header.pixdim")
    if not all(mm > 0 for mm in spacing):
        message = f"its header gives the spacing as {list(spacing)} mm"
        raise bad_file(path, "header.pixdim", message, spacing_mm=list(spacing))
    if not any(key in fields for key in _MATRIX):
        raise bad_file(path, "header.no_orientation", "has no TransformMatrix, so left and right are unknown")
    # The matrix is listed axis by axis: its first three numbers are the direction of x.
    axes = np.reshape(_numbers(path, fields, _MATRIX, 9, "header.affine"), (3, 3)).T
    if np.abs(np.linalg.norm(axes, axis=0) - 1).max() > _MAX_ROTATION_ERROR:
        raise bad_file(path, "header.affine", "its TransformMatrix has axes that are not of length 1")
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = _numbers(path, fields, _OFFSET, 3)
    return LPS_TO_RAS @ affine


def _numbers(
    path: Path, fields: Mapping[str, str], keys: Sequence[str], count: int, code: str = "header.invalid"
) -> tuple[float, ...]:
    """The numbers behind the first of some keys that is there."""
    key = next((key for key in keys if key in fields), None)
    if key is None:
        raise bad_file(path, code, f"its header has no {keys[0]}")
    try:
        values = tuple(float(part) for part in fields[key].split())
    except ValueError:
        values = ()
    if len(values) != count or not all(math.isfinite(value) for value in values):
        raise _invalid(path, key, fields[key], f"{count} numbers", code)
    return values


def _flag(path: Path, fields: Mapping[str, str], keys: Sequence[str]) -> bool:
    key = next((key for key in keys if key in fields), None)
    if key is None:
        return False
    if fields[key] not in _FLAGS:
        raise _invalid(path, key, fields[key], "True or False")
    return _FLAGS[fields[key]]


def _invalid(path: Path, key: str, value: str, wanted: str, code: str = "header.invalid") -> BadFileError:
    return bad_file(path, code, f"its header has {key} = {value[:60]}; expected {wanted}", key=key)


opened_metaimage = partial(opened_behind, parse_mhd)
"""Opens a volume in .mhd or .mha."""
