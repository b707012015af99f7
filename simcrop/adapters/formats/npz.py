"""One array of an .npz file, checked before and while it is read: no code is run, no size is believed."""

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from simcrop.adapters.formats.container import opened_bytes, voxel_chunks
from simcrop.adapters.formats.stored import StoredVolume, check_shape
from simcrop.adapters.problems.paths import refuse_bomb
from simcrop.core.data.problems import BadFileError, bad_file
from simcrop.core.errors import one_line

_ENTRY, _END = b"PK\x03\x04", b"PK\x05\x06"
_END_BYTES = 22


@contextmanager
def opened_array(path: Path, key: str, affine: np.ndarray) -> Generator[StoredVolume]:
    """The 3D array of numbers that a file holds under a name, as a volume with an affine that the file does not hold.

    Raises:
        BadFileError: damaged, cut off, of objects (which only pickle could read), or of another shape.
    """
    with opened_bytes(path) as file:
        _check_ends(path, file)
        try:
            with zipfile.ZipFile(file) as archive, archive.open(_entry(path, archive, key)) as stream:
                yield _array(path, stream, archive.getinfo(f"{key}.npy"), affine)
        except EOFError as error:
            raise bad_file(path, "container.truncated", "is cut off inside its array") from error
        except zipfile.BadZipFile as error:
            code = "container.crc" if str(error).startswith("Bad CRC") else "container.corrupt"
            raise bad_file(path, code, f"its zip data is damaged ({one_line(error)})") from error
        except (zlib.error, struct.error, NotImplementedError, RuntimeError) as error:
            raise bad_file(path, "container.corrupt", f"its zip data is damaged ({one_line(error)})") from error


def _check_ends(path: Path, file: Any) -> None:
    """Raise where the file is no zip from its first byte to its last; zipfile would pass over both ends."""
    start = file.read(4)
    if start != _ENTRY:
        raise bad_file(path, "container.format", f"is no .npz (it begins with {start!r})")
    num_bytes = file.seek(0, 2)
    file.seek(max(0, num_bytes - _END_BYTES))
    if not file.read().startswith(_END):
        is_whole = zipfile.is_zipfile(file)
        code = "container.trailing" if is_whole else "container.truncated"
        message = "goes on after the end of its zip data" if is_whole else "is cut off (its zip data has no end)"
        raise bad_file(path, code, message)


def _entry(path: Path, archive: zipfile.ZipFile, key: str) -> zipfile.ZipInfo:
    names = archive.namelist()
    if f"{key}.npy" not in names:
        raise bad_file(path, "container.format", f"holds no array {key!r}; it has {', '.join(names)[:200] or '(none)'}")
    if min(entry.header_offset for entry in archive.infolist()):
        raise bad_file(path, "container.trailing", "begins with something else than its zip data")
    return archive.getinfo(f"{key}.npy")


def _array(path: Path, stream: Any, entry: zipfile.ZipInfo, affine: np.ndarray) -> StoredVolume:
    shape, is_fortran, dtype = _header(path, stream)
    if dtype.hasobject:
        raise bad_file(path, "safety.pickle", "holds an array of Python objects")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise bad_file(path, "header.datatype", f"its voxels are of type {dtype}, not numbers")
    x, y, z = check_shape(path, shape)
    num_bytes = x * y * z * dtype.itemsize
    if stream.tell() + num_bytes != entry.file_size:
        message = f"its header declares {num_bytes} bytes of voxels, and {entry.file_size - stream.tell()} are there"
        raise bad_file(path, "container.length", message, declared=num_bytes)
    refuse_bomb(path, path.stat().st_size, num_bytes)
    parts = voxel_chunks(path, stream, b"", offset=0, num_bytes=num_bytes, item=dtype.itemsize)
    chunks = (np.frombuffer(part, dtype) for part in parts)
    return StoredVolume((x, y, z), dtype, affine, chunks, "F" if is_fortran else "C")


def _header(path: Path, stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = npy.read_magic(stream)
        if version not in {(1, 0), (2, 0)}:
            raise bad_file(path, "container.format", f"its array is of .npy version {version}")
        return (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(stream)
    except BadFileError:
        raise
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise bad_file(path, "container.corrupt", f"the header of its array is damaged ({one_line(error)})") from error
