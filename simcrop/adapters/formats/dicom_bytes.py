"""The bytes of a DICOM file: known by what they hold, with a preamble or without, unpacked where gzip packed them."""

import gzip
import io
import re
import struct
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from simcrop.adapters.formats.container import opened_bytes
from simcrop.core.data.problems import BadFileError, bad_file
from simcrop.core.errors import DataError

SUFFIXES = (".dcm", ".dicom", ".ima", ".dcm.gz", ".dicom.gz", ".ima.gz")
"""Ends of names that promise DICOM; files of other names, or of none, are looked into."""
_PREAMBLE, _MAGIC = 128, b"DICM"
_GZIP = b"\x1f\x8b"
_START = 512
_PIXELS, _DESCRIPTION = 0x7FE00010, 0x00080000
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_MOST_DEFLATED = 1030
"""Times that deflate may shrink bytes."""
_DAMAGE = (
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError),
    *(NotImplementedError, RecursionError, struct.error),
)
_EXPLICIT = re.compile(rb"(?:AE|AS|CS|DA|DS|DT|IS|LO|LT|OB|OW|PN|SH|SQ|ST|TM|UI|UL|UN|US|UT)")
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
"""Of the file's own description, and of the object's, in either byte order."""


def require_pydicom() -> ModuleType:
    """The package. Raises DataError in one line where it is not installed."""
    try:
        import pydicom
    except ImportError as error:
        raise DataError("DICOM needs pydicom; pip install 'simcrop[dicom]'") from error
    return pydicom


def has_pydicom() -> bool:
    """Whether the package is installed."""
    try:
        require_pydicom()
    except DataError:
        return False
    return True


def damage() -> tuple[type[Exception], ...]:
    """What pydicom raises at bytes that are no DICOM."""
    return (*_DAMAGE, require_pydicom().errors.BytesLengthException)


def is_named_dicom(name: str) -> bool:
    """Whether a file's name promises DICOM."""
    return name.lower().endswith(SUFFIXES)


def begins_as_dicom(path: Path) -> bool:
    """Whether a file's first bytes, unpacked, are those of DICOM; False where they cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(_START)
            if start.startswith(_GZIP):
                file.seek(0)
                with gzip.GzipFile(fileobj=file) as stream:
                    start = stream.read(_START)
    except (OSError, EOFError, ValueError, zlib.error):  # ValueError: no file has such a name
        return False
    return is_start_of_dicom(start)


def is_start_of_dicom(start: bytes) -> bool:
    """Whether these first bytes are those of DICOM: by its magic, or by a first element as old archives write it."""
    if start[_PREAMBLE : _PREAMBLE + len(_MAGIC)] == _MAGIC or start.startswith(_MAGIC):
        return True
    if start[:2] not in _FIRST_GROUPS or len(start) < 16:
        return False
    if _EXPLICIT.match(start, 4):
        return True
    # Implicit: a tag of 4 bytes, a length of 4, and as many bytes of text or of a number.
    length = int.from_bytes(start[4:8], "little")
    return start[:2] != b"\x00\x08" and start[3] == 0 and 2 <= length <= 256 and length % 2 == 0


def begins_as_gzip(path: Path) -> bool:
    """Whether gzip packed the file, whatever its name; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(_GZIP)) == _GZIP
    except OSError:
        return False


class BehindPixels:
    """Tells pydicom where to stop: at the pixels or right behind them, so that what somebody appended does not matter.

    Args:
        includes_pixels: whether they are wanted.
    """

    def __init__(self, *, includes_pixels: bool) -> None:
        self._includes_pixels, self._is_behind = includes_pixels, False

    def __call__(self, tag: int, kind: str | None, length: int) -> bool:
        """Whether the element of this tag is left out, with all that follow."""
        if self._is_behind or tag < _DESCRIPTION:
            return True
        self._is_behind = tag == _PIXELS
        return self._is_behind and not self._includes_pixels


@contextmanager
def opened_dicom(path: Path, most: int, *, whole: bool) -> Generator[Any]:
    """The file's bytes, unpacked, from its first element or preamble on.

    Args:
        path: the file.
        most: bytes that gzip or deflate may unpack to.
        whole: whether more of them are an error; else they are left out.

    Raises:
        BadFileError: empty, a web page, damaged gzip, or more than `most`.
    """
    with opened_bytes(path, as_is=True) as file:
        start = file.read(_START)
        file.seek(0)
        if start.startswith(_GZIP):
            yield io.BytesIO(_unpacked(path, file, most, whole=whole))
        elif start.startswith(_MAGIC):  # a preamble that somebody cut off
            yield io.BytesIO(bytes(_PREAMBLE) + file.read(most))
        else:
            _refuse_deflated_bomb(path, start, most)
            yield file


@contextmanager
def followed(path: Path) -> Generator[None]:
    """While pydicom reads: its warnings are kept off the screen, and what it raises is a BadFileError in words."""
    reading = require_pydicom().config.settings
    before = reading.reading_validation_mode
    try:
        reading.reading_validation_mode = require_pydicom().config.IGNORE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BadFileError:
        raise
    except EOFError as error:
        raise bad_file(path, "container.truncated", "is cut off inside its header") from error
    except zlib.error as error:
        raise bad_file(path, "container.corrupt", "its deflated data is damaged") from error
    except damage() as error:
        raise bad_file(path, "container.corrupt", "has DICOM elements that cannot be followed") from error
    finally:
        reading.reading_validation_mode = before


def _unpacked(path: Path, file: Any, most: int, *, whole: bool) -> bytes:
    with gzip.GzipFile(fileobj=file) as stream:
        data = stream.read(most)
        if whole and stream.read(1):
            raise bad_file(path, "container.bomb", f"unpacks to more than {most} bytes, which no slice has", most=most)
    if _DEFLATED in data[:_START]:
        raise bad_file(path, "container.compressed", "is deflated, and packed by gzip once more")
    return data


def _refuse_deflated_bomb(path: Path, start: bytes, most: int) -> None:
    """pydicom inflates a data set at once, so what it comes to is looked up first."""
    num_bytes = path.stat().st_size
    if _DEFLATED not in start or num_bytes * _MOST_DEFLATED <= most:
        return
    inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    with path.open("rb") as file:
        file.seek(_end_of_description(start))
        try:
            while not inflater.eof and (piece := inflater.unconsumed_tail or file.read(1 << 16)):
                total += len(inflater.decompress(piece, 1 << 20))
                if total > most:
                    message = f"inflates to more than {most} bytes, which no slice has"
                    raise bad_file(path, "container.bomb", message, most=most)
        except zlib.error as error:
            raise bad_file(path, "container.corrupt", "its deflated data is damaged") from error


def _end_of_description(start: bytes) -> int:
    """Byte behind group 2, by its first element, which holds the group's length."""
    first = _PREAMBLE + len(_MAGIC) if start[_PREAMBLE : _PREAMBLE + len(_MAGIC)] == _MAGIC else 0
    return first + 12 + int.from_bytes(start[first + 8 : first + 12], "little")
