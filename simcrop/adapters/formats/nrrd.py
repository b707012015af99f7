"""NRRD volumes: a text header and its voxels, in one file (.nrrd) or in two (.nhdr)."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
from nrrd.errors import NRRDError

from simcrop.adapters.formats.geometry import LPS_TO_RAS, check_affine
from simcrop.adapters.formats.stored import Header, check_shape
from simcrop.adapters.formats.text_header import data_file, opened_behind
from simcrop.core.data.problems import BadFileError, OnProblem, bad_file
from simcrop.core.errors import one_line

_END = re.compile(rb"\n[ \t]*\r?\n")
_DTYPES = {
    name: dtype
    for dtype, names in {
        "i1": "signed char, int8, int8_t",
        "u1": "uchar, unsigned char, uint8, uint8_t",
        "i2": "short, short int, signed short, signed short int, int16, int16_t",
        "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
        "i4": "int, signed int, int32, int32_t",
        "u4": "uint, unsigned int, uint32, uint32_t",
        "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
        "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
        "f4": "float",
        "f8": "double",
    }.items()
    for name in names.split(", ")
}
_ORDERS = {"little": "<", "big": ">"}
_PACKINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip"}
_LAS_TO_RAS = np.diag([-1.0, 1.0, 1.0, 1.0])
_TO_RAS = {
    "right-anterior-superior": np.eye(4),
    "ras": np.eye(4),
    "left-anterior-superior": _LAS_TO_RAS,
    "las": _LAS_TO_RAS,
    "left-posterior-superior": LPS_TO_RAS,
    "lps": LPS_TO_RAS,
}


def parse_nrrd(path: Path, start: bytes, on_problem: OnProblem) -> Header:
    """The header in a file's first bytes.

    Raises:
        BadFileError: where the voxels cannot be found, or placed in the patient; everything else is told.
    """
    fields, end = _fields(path, start)
    sizes = tuple(int(n) for n in fields["sizes"])
    if not fields["dimension"] == len(sizes) == 3:
        raise bad_file(path, "content.not_3d", f"has {list(sizes)} voxels; a 3D volume is needed")
    for key in ("line skip", "byte skip"):
        _known(path, fields, key, {0: 0}, 0)
    packing = _known(path, fields, "encoding", _PACKINGS)
    if fields["type"] not in _DTYPES:
        message = f"has voxels of type {fields['type']!r}; expected numbers, such as short"
        raise bad_file(path, "header.datatype", message)
    dtype = _DTYPES[fields["type"]]
    order = "|" if dtype.endswith("1") else _known(path, fields, "endian", _ORDERS)
    return Header(
        shape=check_shape(path, sizes),
        dtype=np.dtype(order + dtype),
        affine=_affine(path, fields, on_problem),
        data_file=data_file(path, "data file", fields["data file"]) if "data file" in fields else path,
        offset=0 if "data file" in fields else end,
        packing=packing,
    )


def _fields(path: Path, start: bytes) -> tuple[Mapping[str, Any], int]:
    """The fields by their names with blanks, and where the header ends."""
    if not start.startswith(b"NRRD"):
        raise bad_file(path, "container.format", f"is no NRRD file (it begins with {start[:8]!r})")
    blank = _END.search(start)
    text, end = (start[: blank.start()], blank.end()) if blank else (start, len(start))
    try:
        with np.errstate(all="ignore"):  # sizes beyond any integer; they are refused below
            fields = dict(nrrd.read_header(text.split(b"\n")))
    except (NRRDError, ValueError, IndexError, TypeError, OverflowError) as error:
        if not blank:
            raise _cut_off(path) from error
        raise bad_file(path, "header.invalid", f"its header is wrong ({one_line(error)})") from error
    for key in ("data file", "line skip", "byte skip"):
        if key.replace(" ", "") in fields:
            fields[key] = fields[key.replace(" ", "")]
    if not blank and "data file" not in fields:
        raise _cut_off(path)
    if "data file" in fields and start[end:].strip():
        raise bad_file(path, "container.trailing", "goes on after its header, which names another file")
    for key in ("type", "dimension", "sizes", "encoding"):
        if key not in fields:
            raise bad_file(path, "header.invalid", f"its header has no {key}")
    return fields, end


def _cut_off(path: Path) -> BadFileError:
    return bad_file(path, "container.truncated", "is cut off inside its header, or has none that ends")


def _known(path: Path, fields: Mapping[str, Any], key: str, meanings: Mapping[Any, Any], absent: Any = None) -> Any:
    """What a field's value means. Raises BadFileError where that is not known."""
    value = fields.get(key, absent)
    if value not in meanings:
        message = f"its header has {key}: {str(value)[:60]}; expected {' or '.join(map(str, meanings))}"
        raise bad_file(path, "header.invalid", message, key=key)
    return meanings[value]


def _affine(path: Path, fields: Mapping[str, Any], on_problem: OnProblem) -> np.ndarray:
    """From stored indices to mm, RAS."""
    space = str(fields.get("space", "")).lower()
    if space not in _TO_RAS or "space directions" not in fields:
        message = "has no space directions" if space in _TO_RAS else f"lies in the space {space or 'of no name'!r}"
        raise bad_file(path, "header.no_orientation", f"{message}, so left and right are unknown")
    strange = set(fields.get("space units", ())) - {"mm"}
    if strange:
        raise bad_file(path, "header.spacing", f"gives lengths in {min(strange)!r} and not in mm")
    directions, origin = (np.asarray(fields.get(key, ()), float) for key in ("space directions", "space origin"))
    if directions.shape != (3, 3) or origin.shape != (3,) or not np.isfinite([*directions, origin]).all():
        message = f"has space directions {directions.tolist()} and space origin {origin.tolist()}; expected 3 x 3 and 3"
        raise bad_file(path, "header.affine", f"{message} numbers")
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions.T, origin
    affine = _TO_RAS[space] @ affine
    check_affine(path, affine, on_problem)
    return affine


opened_nrrd = partial(opened_behind, parse_nrrd)
"""Opens a volume in .nrrd or .nhdr."""
