"""Volumes resampled once to the model's spacing and kept as int16 arrays, of which training reads parts.

    CACHE/grid_KEY/NAME.npy         int16 [H, W, D], RAS, axes along the world's
    CACHE/grid_KEY/index_*.jsonl    a line for each array, a file for each process that prepared: affines, checksum of
                                    the array, name, size and time of the source file
    CACHE/grid_KEY_blosc2/          the same, its arrays compressed (`storage`)

KEY is a hash of all else that decides the voxels: the grid, the data set with its declarations, and `VERSION`.

A line is written after its array, so a volume without one does not exist and is prepared again; of several lines the
last counts.
"""

import hashlib
import json
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int16
from torch import Tensor

from simcrop.adapters.loading.resample import HU_RANGE, Grid, resample_mask
from simcrop.adapters.loading.storage import DamagedError, StorageName, StoredVoxels, storage_named
from simcrop.adapters.system.cache_folder import key_of
from simcrop.core.data.augment import centre_start, cut_box
from simcrop.core.errors import DataError
from simcrop.core.ports import TruthSource
from simcrop.core.recipe import Size

VERSION = 2
"""Goes up when the same source would give other voxels."""
_UNSAFE = re.compile(r"[^\w.-]")
_NAME_OF_LINE = re.compile(rb'\{"name": ("(?:[^"\\]|\\.)*"), ')


class PreparedVolumes:
    """The prepared volumes of one grid.

    Reading compares each array's checksum once in the life of this object, in whichever process reads it first: what is
    verified is marked in memory that processes share.
    """

    def __init__(self, source: TruthSource, grid: Grid, cache: Path, storage: StorageName = "raw") -> None:
        """
        Args:
            source: where masks are read from.
            grid: the grid that the volumes were prepared on.
            cache: folder of all grids.
            storage: how they are kept.

        Raises:
            ConfigError: the package that the storage needs is missing.
        """
        self.grid = grid
        self.storage = storage_named(storage)
        self.size = grid.size
        self._source = source
        self.folder = cache / f"{_folder_name(source, grid)}{self.storage.folder_suffix}"
        self._lines = _index(self.folder)
        self._numbers = {name: number for number, name in enumerate(self._lines)}
        self._verified = torch.zeros(len(self._lines), dtype=torch.bool)
        # Where the system has no shared memory, each process verifies for itself.
        with suppress(RuntimeError):
            self._verified.share_memory_()

    def read(self, reconstruction: str) -> Int16[Tensor, "H W D"]:
        """Voxels in HU; of a raw array memory-mapped: only the pages that are touched are read (all at the first read).

        Raises:
            DataError: if the array is absent or its checksum is wrong.
        """
        with self._opened(reconstruction) as stored:
            return stored.whole()

    def read_box(
        self, reconstruction: str, start: Size, box: Int16[Tensor, "h w d"], *, pad: Literal["air", "reflect"] = "air"
    ) -> None:
        """Fill a box that begins at `start`, as `cut_box` has it. Raises DataError as `read` does."""
        with self._opened(reconstruction) as stored:
            cut_box(stored.copy_part, self.size, start, box, pad=pad)

    def read_centre(self, reconstruction: str, size: Size) -> Int16[Tensor, "h w d"]:
        """The box of `size` at the centre, as evaluation sees the volume."""
        box = torch.empty(size, dtype=torch.int16)
        self.read_box(reconstruction, centre_start(self.size, size), box)
        return box

    def read_mask(self, reconstruction: str, name: str) -> Bool[Tensor, "H W D"]:
        """A ground-truth mask on the prepared grid (`resample_mask` has the rule)."""
        mask = self._source.read_mask(reconstruction, name)
        return resample_mask(mask, self.affine(reconstruction), self.grid.size)

    def affine(self, reconstruction: str) -> Float[Tensor, "4 4"]:
        """Maps indices of the prepared voxels to world coordinates in mm, RAS."""
        return torch.tensor(self._row(reconstruction)["affine"], dtype=torch.float64)

    def array_file(self, reconstruction: str) -> Path:
        """The file behind a prepared volume."""
        return self.folder / array_name(reconstruction, self.storage.suffix)

    def is_current(self, reconstruction: str, source: Mapping[str, Any]) -> bool:
        """Whether the volume is prepared, and from a source file of this stamp."""
        line = self._lines.get(reconstruction)
        if line is None:
            return False
        row = json.loads(line)
        try:
            return row["source"] == source and self.array_file(reconstruction).stat().st_size == row["bytes"]
        except OSError:
            return False

    @contextmanager
    def _opened(self, reconstruction: str) -> Generator[StoredVoxels]:
        """The array behind a volume, verified. What goes wrong in reading it becomes a DataError."""
        path = self.array_file(reconstruction)
        try:
            stored = self.storage.open(path, self.size)
            self._verify(reconstruction, stored)
            yield stored
        except DataError:
            raise
        except DamagedError as error:
            raise DataError(
                f"{path}: is damaged (its checksum is wrong); delete it and run simcrop data prepare"
            ) from error
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot be read ({error}); delete it and run simcrop data prepare") from error

    def _verify(self, reconstruction: str, stored: StoredVoxels) -> None:
        number = self._numbers.get(reconstruction)
        if number is not None and self._verified[number]:
            return
        if stored.checksum() != self._row(reconstruction)["crc32"]:
            raise DamagedError
        self._verified[number] = True

    def _row(self, reconstruction: str) -> dict[str, Any]:
        line = self._lines.get(reconstruction)
        if line is None:
            raise DataError(f"{self.folder}: holds no volume {reconstruction}; run simcrop data prepare")
        return json.loads(line)


def read_error(prepared: PreparedVolumes, reconstruction: str) -> str | None:
    """Error of reading a prepared volume; None where it can be read."""
    try:
        prepared.read(reconstruction)
    except DataError as error:
        return str(error)
    return None


def _index(folder: Path) -> dict[str, bytes]:
    """Volume -> its line, the newest; unparsed, since a worker needs few of them."""
    lines: dict[str, bytes] = {}
    for path in sorted(folder.glob("index_*.jsonl"), key=lambda path: path.stat().st_mtime_ns):
        for line in path.read_bytes().splitlines():
            match = _NAME_OF_LINE.match(line)
            if match and line.endswith(b"}"):
                lines[json.loads(match[1])] = line
    return lines


def _folder_name(source: TruthSource, grid: Grid) -> str:
    """Names everything that changes the voxels but the volume itself."""
    return f"grid_{key_of([VERSION, source.identity, HU_RANGE, asdict(grid)])}"


def array_name(reconstruction: str, suffix: str = ".npy") -> str:
    """The file name of any volume's array; names that had to be changed stay apart by a hash."""
    stem = _UNSAFE.sub("_", reconstruction)
    if stem != reconstruction:
        stem += f"-{hashlib.sha256(reconstruction.encode()).hexdigest()[:8]}"
    return f"{stem}{suffix}"
