"""MetaImage volumes: a text header (.mhd) and its voxels (.raw, .zraw), or both in one file (.mha)."""

import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from simcrop.adapters.formats.container import opened, voxel_chunks
from simcrop.adapters.formats.metaimage_header import HEADER_BYTES, MhdHeader, parse_mhd
from simcrop.adapters.formats.stored import StoredVolume
from simcrop.adapters.problems.paths import refuse_bomb, refuse_link_out
from simcrop.core.data.problems import BadFileError, OnProblem, problem
from simcrop.core.errors import one_line

_CHUNK = 1 << 20


@contextmanager
def opened_mhd(path: Path, on_problem: OnProblem, *, root: Path) -> Generator[StoredVolume]:
    """A volume on the point of being read; memory grows with what arrives, not with what the header claims.

    Args:
        path: .mhd or .mha.
        on_problem: is told of what is wrong with the header and can be passed over.
        root: folder of the data set, which links must not leave.

    Raises:
        BadFileError: header or voxels are damaged, missing, of a kind that is not read, or of another length.
    """
    refuse_link_out(root, path)
    with opened(path) as file:
        header = parse_mhd(path, file.read(HEADER_BYTES), on_problem)
    refuse_link_out(root, header.data_file)
    with opened(header.data_file) as file:
        file.seek(header.offset)
        yield StoredVolume(header.shape, header.dtype, header.affine, _chunks(header, file), "F")


def _chunks(header: MhdHeader, file: Any) -> Iterator[np.ndarray]:
    path = header.data_file
    if header.is_compressed:
        num_bytes = path.stat().st_size - header.offset
        declared = header.compressed_bytes
        if declared is not None and declared != num_bytes:
            code = "container.truncated" if num_bytes < declared else "container.trailing"
            message = f"holds {num_bytes} packed bytes, and its header declares {declared}"
            raise BadFileError(problem(path, code, message, bytes=num_bytes, declared=declared))
        refuse_bomb(path, num_bytes, header.num_bytes)
    stream = _Unpacked(path, file) if header.is_compressed else file
    sizes = {"offset": 0, "num_bytes": header.num_bytes, "item": header.dtype.itemsize}
    for part in voxel_chunks(path, stream, b"", **sizes):
        yield np.frombuffer(part, header.dtype)


class _Unpacked:
    """What zlib packed, unpacked a piece at a time and to its checksum."""

    def __init__(self, path: Path, file: Any) -> None:
        self._path, self._file = path, file
        self._zlib = zlib.decompressobj()
        self._packed = b""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end."""
        while not self._zlib.eof:
            packed = self._packed or self._file.read(_CHUNK)
            if not packed:
                raise self._bad("container.truncated", "is cut off (its packed voxels have no end)")
            try:
                piece = self._zlib.decompress(packed, size)
            except zlib.error as error:
                code = "container.crc" if "data check" in str(error) else "container.corrupt"
                raise self._bad(code, f"its packed voxels are damaged ({one_line(error)})") from error
            self._packed = self._zlib.unconsumed_tail
            if piece:
                return piece
        if self._zlib.unused_data or self._file.read(1):
            raise self._bad("container.trailing", "goes on after the end of its packed voxels")
        return b""

    def _bad(self, code: str, message: str) -> BadFileError:
        return BadFileError(problem(self._path, code, message))
