"""The container of a volume's file: gzip read to its end, and the length that the header declares."""

import gzip
import stat
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isal import igzip, isal_zlib

from simcrop.adapters.problems.paths import refuse_bomb
from simcrop.core.data.problems import BadFileError, bad_file
from simcrop.core.errors import one_line

HEADER_SIZES = (348, 540)
"""Of NIfTI-1 and NIfTI-2: the first number of either."""
_GZIP_MAGIC = b"\x1f\x8b"
_PLAIN_FLAGS = (b"\x00", b"\x08")
"""Of a gzip header that has nothing but, at most, the file's name."""
_CHUNK = 1 << 20


@contextmanager
def opened_bytes(path: Path, *, as_is: bool = False) -> Generator[Any]:
    """The file's bytes; what goes wrong with the container while they are read is a BadFileError.

    Args:
        path: the file; gzip is unpacked where its name says so, and only there.
        as_is: whether the name says nothing.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for without end
            raise bad_file(path, "container.unreadable", "cannot be read (it is a folder, a pipe or a device)")
        with path.open("rb") as file:
            start = file.read(512)
            file.seek(0)
            _check_start(path, start)
            if not as_is:
                _check_packing(path, start)
            if as_is or not is_named_gz(path):
                yield file
                return
            # ISA-L refuses what zlib passes over in a header with more than a file's name.
            opener = igzip.IGzipFile if start[3:4] in _PLAIN_FLAGS else gzip.GzipFile
            with opener(fileobj=file) as stream:
                yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error, isal_zlib.error) as error:  # pyright: ignore[reportGeneralTypeIssues]
        raise _gzip_damage(path, error) from error
    except FileNotFoundError as error:
        raise bad_file(path, "container.missing", "does not exist") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> BadFileError:
    return bad_file(path, "container.unreadable", f"cannot be read ({one_line(error)})")


def _check_start(path: Path, start: bytes) -> None:
    """Raise where the first bytes show that this is no such file at all."""
    if not start:
        raise bad_file(path, "container.empty", "is empty (0 bytes)")
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise bad_file(path, "container.html", "is a web page, not data")
    if text.startswith(b"version https://git-lfs"):
        raise bad_file(path, "container.lfs_pointer", "is a git LFS pointer, not the data")


def _check_packing(path: Path, start: bytes) -> None:
    """Raise where a file is packed, or not, against its name."""
    if not is_named_gz(path):
        if start.startswith(_GZIP_MAGIC):
            raise bad_file(path, "container.format", "is gzip although its name does not say so")
        return
    if start == _GZIP_MAGIC[:1]:
        raise bad_file(path, "container.truncated", "is cut off after 1 byte")
    if not start.startswith(_GZIP_MAGIC):
        code = "container.not_gzip" if header_size(start) else "container.format"
        raise bad_file(path, code, f"is not gzip although its name says so (it begins with {start[:8]!r})")


def _gzip_damage(path: Path, found: Exception) -> BadFileError:
    """What is wrong with gzip data that could not be unpacked, by a second look with zlib: slower, it says more."""
    try:
        with gzip.open(path) as stream:
            while stream.read(_CHUNK):
                pass
    except EOFError:
        return bad_file(path, "container.truncated", "is cut off (its gzip data has no end)")
    except (gzip.BadGzipFile, zlib.error) as error:
        message = one_line(error)
    except OSError as error:
        return _unreadable(path, error)
    else:
        message = one_line(found)
    if message.startswith("Not a gzipped file"):
        return bad_file(path, "container.trailing", "goes on after the end of its gzip data")
    code = "container.crc" if message.startswith(("CRC check failed", "Incorrect length")) else "container.corrupt"
    return bad_file(path, code, f"its gzip data is damaged ({message})")


def header_size(data: bytes) -> int | None:
    """348 for NIfTI-1, 540 for NIfTI-2, in either byte order; None for anything else."""
    sizes = {int.from_bytes(data[:4], order, signed=True) for order in ("little", "big")}
    return next((size for size in HEADER_SIZES if size in sizes), None)


def is_named_gz(path: Path) -> bool:
    """Whether a file's name says that gzip packed it."""
    return path.name.lower().endswith(".gz")


def voxel_chunks(path: Path, stream: Any, start: bytes, *, offset: int, num_bytes: int, item: int) -> Iterator[bytes]:
    """The voxels in chunks of whole numbers, to be gone through once.

    They end with the file: there gzip compares CRC and length, and here the length is compared with the header's.
    Memory grows with what arrives, not with what is declared.

    Args:
        path: for messages.
        stream: the unpacked file behind `start`.
        start: its first bytes.
        offset: of the first voxel.
        num_bytes: of all voxels, as declared.
        item: bytes of a voxel.
    """
    is_packed = is_named_gz(path)
    if is_packed:
        refuse_bomb(path, path.stat().st_size, num_bytes)
    expected, arrived = offset + num_bytes, len(start)
    while arrived < offset and (skipped := stream.read(min(_CHUNK, offset - arrived))):
        arrived += len(skipped)
    rest = start[offset:expected]
    while True:
        whole = len(rest) - len(rest) % item
        if whole:
            yield rest[:whole]
        rest = rest[whole:]
        piece = stream.read(min(_CHUNK, expected - arrived)) if arrived < expected else b""
        if not piece:
            break
        arrived += len(piece)
        rest += piece
    if arrived < expected:
        message = f"ends after {arrived} of {expected} bytes that its header declares"
        code = "container.length" if is_packed else "container.truncated"
        raise bad_file(path, code, message, bytes=arrived, declared=expected)
    behind = start[expected:] or stream.read(4)
    if behind:
        message = f"holds more than the {expected} bytes that its header declares"
        code = "container.length" if is_packed else "container.trailing"
        if header_size(behind):
            message, code = "goes on with a second volume behind its own", "container.trailing"
        raise bad_file(path, code, message, declared=expected)
