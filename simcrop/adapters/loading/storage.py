"""Keep the voxels of a prepared volume: as they are, or compressed without loss; give any part of them, checked.

raw     NAME.npy: an int16 array that is memory-mapped. Its checksum is that of all voxels.
blosc2  NAME.blosc2: a table with start, size and CRC-32 of every chunk, then the chunks: 16 x 32 x 128 voxels, fewer at
        the volume's end, each a buffer of Blosc2 (LZ4 after a shuffle of bytes). The checksum is that of the table, so
        it covers all. A chunk is compared with its own before it is decoded.
"""

import itertools
import math
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
import torch
from jaxtyping import Int16
from torch import Tensor

from simcrop.core.data.augment import Part
from simcrop.core.errors import ConfigError
from simcrop.core.recipe import Size

StorageName = Literal["raw", "blosc2"]

_CHUNK = (16, 32, 128)
"""256 KB fit the caches; a box of 7/8 along each axis decodes little more than itself."""
_TABLE = np.dtype([("start", "<u8"), ("bytes", "<u4"), ("crc32", "<u4")])


class DamagedError(ValueError):
    """Bytes are not those that were written."""


class StoredVoxels(Protocol):
    """The voxels of one file."""

    @abstractmethod
    def checksum(self) -> int:
        """What `Storage.write` returned when the file was written, unless it is damaged."""

    @abstractmethod
    def whole(self) -> Int16[Tensor, "H W D"]:
        """All voxels. Raises DamagedError."""

    @abstractmethod
    def copy_part(self, part: Part, into: Int16[Tensor, "h w d"]) -> None:
        """Copy a part; no more is read than it needs. Raises DamagedError."""


class Storage(Protocol):
    """A way to keep voxels.

    Attributes:
        suffix: of its files.
        folder_suffix: of the folders that hold them.
        usual_share: bytes on disk over those in memory, about.
    """

    suffix: str
    folder_suffix: str
    usual_share: float

    @abstractmethod
    def write(self, file: BinaryIO, voxels: np.ndarray) -> int:
        """Write int16 voxels; their checksum."""

    @abstractmethod
    def open(self, path: Path, size: Size) -> StoredVoxels:
        """The voxels of a file. Raises OSError or ValueError where it is not of this size."""


def storage_named(name: StorageName) -> Storage:
    """The storage of a name. Raises ConfigError where its package is missing."""
    return Raw() if name == "raw" else Blosc2()


class Raw(Storage):
    """Arrays as numpy writes them."""

    suffix, folder_suffix, usual_share = ".npy", "", 1.0

    def write(self, file: BinaryIO, voxels: np.ndarray) -> int:
        np.save(file, voxels, allow_pickle=False)
        return zlib.crc32(voxels.data)

    def open(self, path: Path, size: Size) -> StoredVoxels:
        # Copy-on-write, since torch has no read-only tensors; the file is never written to.
        return _RawVoxels(np.load(path, mmap_mode="c", allow_pickle=False), size)


class _RawVoxels(StoredVoxels):
    def __init__(self, array: np.ndarray, size: Size) -> None:
        if array.shape != size or array.dtype != np.int16:
            raise DamagedError
        self._array = array

    def checksum(self) -> int:
        return zlib.crc32(self._array.data)

    def whole(self) -> Tensor:
        return torch.from_numpy(self._array)

    def copy_part(self, part: Part, into: Tensor) -> None:
        into.copy_(self.whole()[part])


class Blosc2(Storage):
    """Compressed chunks. Raises ConfigError where the package is missing."""

    suffix, folder_suffix, usual_share = ".blosc2", "_blosc2", 0.4

    def __init__(self) -> None:
        require_blosc2()

    def write(self, file: BinaryIO, voxels: np.ndarray) -> int:
        blosc2 = require_blosc2()
        settings: dict[str, Any] = {
            "codec": blosc2.Codec.LZ4,
            "filters": [blosc2.Filter.SHUFFLE],
            "filters_meta": [0],
            "typesize": voxels.itemsize,
            "nthreads": 1,
        }
        parts = [_slices(number, voxels.shape) for number in np.ndindex(*_num_chunks(voxels.shape))]
        chunks = [blosc2.compress2(np.ascontiguousarray(voxels[part]), **settings) for part in parts]
        sizes = [len(chunk) for chunk in chunks]
        table = np.zeros(len(chunks), _TABLE)
        table["start"] = [table.nbytes + before for before in itertools.accumulate(sizes[:-1], initial=0)]
        table["bytes"] = sizes
        table["crc32"] = [zlib.crc32(chunk) for chunk in chunks]
        file.writelines([table.tobytes(), *chunks])
        return zlib.crc32(table.data)

    def open(self, path: Path, size: Size) -> StoredVoxels:
        return _Blosc2Voxels(np.memmap(path, np.uint8, "r"), size)


def require_blosc2() -> ModuleType:
    """The package. Raises ConfigError in one line where it is not installed."""
    try:
        import blosc2
    except ImportError as error:
        raise ConfigError("data.storage: blosc2 needs blosc2; pip install 'simcrop[blosc2]', or write raw") from error
    return blosc2


class _Blosc2Voxels(StoredVoxels):
    def __init__(self, data: np.ndarray, size: Size) -> None:
        self._data, self._size = data.view(np.ndarray), size
        counts = _num_chunks(size)
        self._table = self._data[: math.prod(counts) * _TABLE.itemsize].view(_TABLE).reshape(counts)
        self._scratch = np.empty(math.prod(_CHUNK), np.int16)

    def checksum(self) -> int:
        return zlib.crc32(self._table.data)

    def whole(self) -> Tensor:
        voxels = torch.empty(self._size, dtype=torch.int16)
        x, y, z = (slice(0, n) for n in self._size)
        self.copy_part((x, y, z), voxels)
        return voxels

    def copy_part(self, part: Part, into: Tensor) -> None:
        out = into.numpy()
        for number in _touched(part):
            where = _slices(number, self._size)
            chunk = self._decoded(number, [axis.stop - axis.start for axis in where])
            both = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(where, part, strict=True)]
            out[_shifted(both, part)] = chunk[_shifted(both, where)]

    def _decoded(self, number: tuple[int, ...], shape: Sequence[int]) -> np.ndarray:
        """The voxels of a chunk, until the next is asked for."""
        start, num_bytes, checksum = self._table[number].tolist()
        chunk = self._data[start : start + num_bytes]
        # Before it is decoded: the decoder trusts what a chunk says of its own size.
        if zlib.crc32(chunk.data) != checksum:
            raise DamagedError
        voxels = self._scratch[: math.prod(shape)]
        require_blosc2().decompress2(chunk, dst=voxels, nthreads=1)
        return voxels.reshape(shape)


def _num_chunks(size: Sequence[int]) -> list[int]:
    return [-(-have // chunk) for have, chunk in zip(size, _CHUNK, strict=True)]


def _slices(number: Sequence[int], size: Sequence[int]) -> tuple[slice, ...]:
    """Where a chunk lies in the volume."""
    return tuple(
        slice(i * chunk, min((i + 1) * chunk, have)) for i, chunk, have in zip(number, _CHUNK, size, strict=True)
    )


def _touched(part: Part) -> Iterator[tuple[int, ...]]:
    """Numbers of the chunks that a part lies in, in the order of the file."""
    axes = (range(axis.start // chunk, -(-axis.stop // chunk)) for axis, chunk in zip(part, _CHUNK, strict=True))
    return itertools.product(*axes)


def _shifted(where: Sequence[slice], origin: Sequence[slice]) -> tuple[slice, ...]:
    """Slices of the volume as slices of the box at `origin`."""
    pairs = zip(where, origin, strict=True)
    return tuple(slice(axis.start - zero.start, axis.stop - zero.start) for axis, zero in pairs)
