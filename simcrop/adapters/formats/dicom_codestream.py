"""The header of a compressed frame, looked up before the frame is unpacked, since a decoder believes it."""

import struct
from dataclasses import dataclass
from pathlib import Path

from simcrop.core.data.problems import bad_file

_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
_END, _BEHIND_END = b"\xff\xd9", 16
"""All these streams end alike, and a few bytes of padding may follow; the two bytes stand nowhere else in one."""
_NO_FRAME = {0xC4, 0xC8, 0xCC}
"""Markers among C0 to CF that describe no frame."""
_JPEG_LS_FRAME = 0xF7
_JP2_BOXES = 4096
"""Bytes of a JP2 file that may stand before its stream, against the standard."""
MAX_BITS = 16


@dataclass(frozen=True)
class Codestream:
    """A frame of one component, as its own header describes it.

    Attributes:
        rows, columns: of pixels.
        bits: of one.
    """

    rows: int
    columns: int
    bits: int


def read_codestream(path: Path, name: str, frame: bytes, shape: tuple[int, int]) -> Codestream:
    """The header of a JPEG, JPEG-LS or JPEG 2000 stream, after a check against the header of its file.

    Args:
        path: for messages.
        name: of the compression.
        frame: the stream.
        shape: rows and columns, as the file declares them.

    Raises:
        BadFileError: no such stream, without an end, of another size, in colours, or of more than 16 bits.
    """
    try:
        rows, columns, components, bits = _jpeg_2000(frame) if _JPEG_2000 in frame[:_JP2_BOXES] else _jpeg(frame)
    except (IndexError, struct.error, ValueError) as error:
        raise bad_file(path, "container.corrupt", f"holds pixels that are no {name}") from error
    if (rows, columns) != shape:
        message = f"declares {shape[0]} x {shape[1]} pixels, and its {name} holds {rows} x {columns}"
        raise bad_file(path, "container.length", message, rows=rows, columns=columns)
    if components != 1 or not 2 <= bits <= MAX_BITS:
        message = f"its {name} has {components} components of {bits} bits; expected 1 of at most {MAX_BITS}"
        raise bad_file(path, "header.datatype", message, components=components, bits=bits)
    if _END not in frame[-_BEHIND_END:]:
        raise bad_file(path, "container.truncated", f"its {name} is cut off (it has no end)")
    return Codestream(rows, columns, bits)


def _jpeg(frame: bytes) -> tuple[int, int, int, int]:
    """Rows, columns, components and bits, of the first frame header."""
    if not frame.startswith(_JPEG):
        raise ValueError
    at = len(_JPEG)
    while True:
        while frame[at] == 0xFF and frame[at + 1] == 0xFF:  # fill bytes
            at += 1
        if frame[at] != 0xFF:
            raise ValueError
        marker = frame[at + 1]
        if (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME) or marker == _JPEG_LS_FRAME:
            bits, rows, columns, components = struct.unpack_from(">BHHB", frame, at + 4)
            return rows, columns, components, bits
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]


def _jpeg_2000(frame: bytes) -> tuple[int, int, int, int]:
    """The same of the SIZ marker, with which every stream begins."""
    start = frame.index(_JPEG_2000)
    right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
    components, depth = struct.unpack_from(">HB", frame, start + 40)
    return bottom - top, right - left, components, (depth & 0x7F) + 1
