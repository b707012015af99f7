"""Volumes resampled once to the model's spacing and kept as int16 arrays that training memory-maps.

    CACHE/grid_KEY/NAME.npy         int16 [H, W, D], RAS, axes along the world's
    CACHE/grid_KEY/index_*.jsonl    a line for each array, a file for each process that prepared: affines, CRC-32 of the
                                    voxels, name, size and time of the source file

KEY is a hash of all else that decides the voxels: the grid, the data set with its declarations, and `VERSION`.

A line is written after its array, so a volume without one does not exist and is prepared again; of several lines the
last counts.
"""

import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int16
from torch import Tensor

from simcrop.adapters.loading.resample import HU_RANGE, Grid, resample_mask
from simcrop.adapters.system.cache_folder import key_of
from simcrop.core.data.augment import crop_centre
from simcrop.core.errors import DataError
from simcrop.core.ports import TruthSource

VERSION = 2
"""Goes up when the same source would give other voxels."""
_UNSAFE = re.compile(r"[^\w.-]")
_NAME_OF_LINE = re.compile(rb'\{"name": ("(?:[^"\\]|\\.)*"), ')


class PreparedVolumes:
    """The prepared volumes of one grid. Reading checks each array once in the life of this object."""

    def __init__(self, source: TruthSource, grid: Grid, cache: Path) -> None:
        """
        Args:
            source: where masks are read from.
            grid: the grid that the volumes were prepared on.
            cache: folder of all grids.
        """
        self.grid = grid
        self._source = source
        self.folder = cache / _folder_name(source, grid)
        self._lines = _index(self.folder)
        self._verified: set[str] = set()

    def read(self, reconstruction: str) -> Int16[Tensor, "H W D"]:
        """Voxels in HU, memory-mapped: only the pages that are touched are read (all of them at the first read).

        Raises:
            DataError: if the array is absent or its checksum is wrong.
        """
        path = self.array_file(reconstruction)
        try:
            # Copy-on-write, since torch has no read-only tensors; the file is never written to.
            array = np.load(path, mmap_mode="c", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot be read ({error}); delete it and run simcrop data prepare") from error
        if reconstruction not in self._verified:
            expected = self._row(reconstruction)["crc32"]
            if array.shape != self.grid.size or array.dtype != np.int16 or zlib.crc32(array.data) != expected:
                raise DataError(f"{path}: is damaged (its checksum is wrong); delete it and run simcrop data prepare")
            self._verified.add(reconstruction)
        return torch.from_numpy(array)

    def read_centre(self, reconstruction: str, size: tuple[int, int, int]) -> Int16[Tensor, "h w d"]:
        """The box of `size` at the centre, as evaluation sees the volume."""
        return crop_centre(self.read(reconstruction), size)

    def read_mask(self, reconstruction: str, name: str) -> Bool[Tensor, "H W D"]:
        """A ground-truth mask on the prepared grid (`resample_mask` has the rule)."""
        mask = self._source.read_mask(reconstruction, name)
        return resample_mask(mask, self.affine(reconstruction), self.grid.size)

    def affine(self, reconstruction: str) -> Float[Tensor, "4 4"]:
        """Maps indices of the prepared voxels to world coordinates in mm, RAS."""
        return torch.tensor(self._row(reconstruction)["affine"], dtype=torch.float64)

    def array_file(self, reconstruction: str) -> Path:
        """The file behind a prepared volume."""
        return self.folder / array_name(reconstruction)

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


def array_name(reconstruction: str) -> str:
    """The file name of any volume's array; names that had to be changed stay apart by a hash."""
    stem = _UNSAFE.sub("_", reconstruction)
    if stem != reconstruction:
        stem += f"-{hashlib.sha256(reconstruction.encode()).hexdigest()[:8]}"
    return f"{stem}.npy"
