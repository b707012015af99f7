"""Volumes resampled once to the model's spacing and kept as int16 arrays that training memory-maps.

    CACHE/grid_KEY/NAME.npy        int16 [H, W, D], RAS, axes along the world's
    CACHE/grid_KEY/NAME.json       affines, CRC-32 of the voxels, name, size and time of the source file

KEY is a hash of all else that decides the voxels: the grid, the data set with its declarations, and `VERSION`.

A volume's sidecar is written after its array, so a volume without one does not exist and is prepared again.
"""

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int16
from torch import Tensor

from simcrop.adapters.preparing import Task, make_folder, prepare_all, source_stamp
from simcrop.adapters.resample import HU_RANGE, Grid, resample_mask
from simcrop.core.augment import crop_centre
from simcrop.core.errors import DataError
from simcrop.core.ports import StudySource
from simcrop.core.study import Study

VERSION = 1
"""Goes up when the same source would give other voxels."""
_UNSAFE = re.compile(r"[^\w.-]")

Progress = Callable[[int, int], None]
"""Called with (volumes done, volumes in all)."""


class PreparedVolumes:
    """The prepared volumes of one grid. Reading checks each array once in the life of this object."""

    def __init__(self, source: StudySource, grid: Grid, cache: Path) -> None:
        """
        Args:
            source: where masks are read from.
            grid: the grid that the volumes were prepared on.
            cache: the folder that `prepare` was given.
        """
        self.grid = grid
        self._source = source
        self._folder = cache / _folder_name(source, grid)
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
            expected = self._sidecar(reconstruction)["crc32"]
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
        return torch.tensor(self._sidecar(reconstruction)["affine"], dtype=torch.float64)

    def array_file(self, reconstruction: str) -> Path:
        """The file behind a prepared volume."""
        return self._folder / f"{_file_stem(reconstruction)}.npy"

    def is_current(self, reconstruction: str) -> bool:
        """Whether the volume is prepared from the source file as it is now."""
        array = self.array_file(reconstruction)
        try:
            known = json.loads(array.with_suffix(".json").read_text(encoding="utf-8"))
            return known["source"] == source_stamp(self._source, reconstruction) and (
                array.stat().st_size == known["bytes"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _sidecar(self, reconstruction: str) -> dict[str, Any]:
        path = self.array_file(reconstruction).with_suffix(".json")
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); run simcrop data prepare") from error


def prepare(
    source: StudySource,
    studies: Sequence[Study],
    grid: Grid,
    cache: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> PreparedVolumes:
    """Prepare every reconstruction of the studies that is not prepared from its present file.

    Args:
        source: reads the volumes.
        studies: what to prepare.
        grid: where to.
        cache: folder of all grids.
        workers: processes, each with one thread; 1 prepares in this process.
        progress: told at the start and after every volume.

    Raises:
        DataError: after the last volume, if one or more could not be read: names the first and how many.
    """
    prepared = PreparedVolumes(source, grid, cache)
    names = [name for study in studies for name in study.reconstructions]
    tasks = [Task(name, prepared.array_file(name)) for name in names if not prepared.is_current(name)]
    done = len(names) - len(tasks)
    report = progress or (lambda done, total: None)
    report(done, len(names))
    if not tasks:
        return prepared
    make_folder(tasks[0].array.parent)
    errors: list[str] = []
    for error in prepare_all(source, grid, tasks, workers):
        done += 1
        if error is not None:
            errors.append(error)
        report(done, len(names))
    if errors:
        more = f" (and {len(errors) - 1} more volumes cannot be used)" if len(errors) > 1 else ""
        raise DataError(f"{min(errors)}{more}; or list it under data.quarantine")
    return prepared


def _folder_name(source: StudySource, grid: Grid) -> str:
    """Names everything that changes the voxels but the volume itself."""
    parts = json.dumps([VERSION, source.identity, HU_RANGE, asdict(grid)])
    return f"grid_{hashlib.sha256(parts.encode()).hexdigest()[:16]}"


def _file_stem(reconstruction: str) -> str:
    """A file name for any name of a volume; names that had to be changed stay apart by a hash."""
    stem = _UNSAFE.sub("_", reconstruction)
    if stem == reconstruction:
        return stem
    return f"{stem}-{hashlib.sha256(reconstruction.encode()).hexdigest()[:8]}"
