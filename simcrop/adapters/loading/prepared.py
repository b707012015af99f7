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
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int16
from torch import Tensor

from simcrop.adapters.loading.prepare_one import Task, prepare_one
from simcrop.adapters.loading.resample import HU_RANGE, Grid, resample_mask
from simcrop.adapters.problems.verdicts import source_stamp
from simcrop.adapters.system.cache_folder import append_row, key_of, make_cache_folder
from simcrop.adapters.system.pool import Progress, run_all
from simcrop.adapters.system.progress import duration
from simcrop.core.data.augment import crop_centre
from simcrop.core.data.problems import Problem
from simcrop.core.data.study import Study
from simcrop.core.errors import DataError
from simcrop.core.ports import DataSet, TruthSource

VERSION = 2
"""Goes up when the same source would give other voxels."""
_UNSAFE = re.compile(r"[^\w.-]")
_NAME_OF_LINE = re.compile(rb'\{"name": ("(?:[^"\\]|\\.)*"), ')
_TIMED = 8
"""Volumes after which the time left is told."""


class PreparedVolumes:
    """The prepared volumes of one grid. Reading checks each array once in the life of this object."""

    def __init__(self, source: TruthSource, grid: Grid, cache: Path) -> None:
        """
        Args:
            source: where masks are read from.
            grid: the grid that the volumes were prepared on.
            cache: the folder that `prepare` was given.
        """
        self.grid = grid
        self._source = source
        self._folder = cache / _folder_name(source, grid)
        self._lines = _index(self._folder)
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
        return self._folder / f"{_file_stem(reconstruction)}.npy"

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
            raise DataError(f"{self._folder}: holds no volume {reconstruction}; run simcrop data prepare")
        return json.loads(line)


def read_error(prepared: PreparedVolumes, reconstruction: str) -> str | None:
    """Why a prepared volume cannot be read; None where it can."""
    try:
        prepared.read(reconstruction)
    except DataError as error:
        return str(error)
    return None


def prepare(
    source: DataSet,
    studies: Sequence[Study],
    grid: Grid,
    cache: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
    refused: dict[str, Problem] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> PreparedVolumes:
    """Prepare every reconstruction of the studies that is not prepared from its present file.

    Args:
        source: reads the volumes.
        studies: what to prepare.
        grid: where to.
        cache: folder of all grids.
        workers: processes, each with one thread; 1 prepares in this process.
        progress: told at the start and after every volume.
        refused: receives the volumes that cannot be used, with the reason; without it they are raised.
        say: is told beforehand how much will be written, and soon how long it takes.

    Raises:
        DataError: the disk has too little room, or cannot be written; or, after the last volume, some cannot be used.
    """
    prepared = PreparedVolumes(source, grid, cache)
    names = [name for study in studies for name in study.reconstructions]
    stale = [name for name in names if not prepared.is_current(name, source_stamp(source, name))]
    tasks = [Task(name, prepared.array_file(name)) for name in stale]
    done = len(names) - len(tasks)
    report = progress or (lambda done, total: None)
    report(done, len(names))
    if not tasks:
        return prepared
    folder = tasks[0].array.parent
    make_cache_folder(folder)
    say(_check_room(folder, grid, len(tasks)))
    bad = {} if refused is None else refused
    for result in _prepare_all((source, grid), tasks, workers, folder / _index_name(), say):
        done += 1
        if isinstance(result, Problem):
            bad[result.values["volume"]] = result
        report(done, len(names))
    if refused is None and bad:
        more = f" (and {len(bad) - 1} more volumes cannot be used)" if len(bad) > 1 else ""
        raise DataError(f"{min(map(str, bad.values()))}{more}; or list it under data.quarantine")
    return PreparedVolumes(source, grid, cache)


def _prepare_all(
    shared: tuple[DataSet, Grid], tasks: Sequence[Task], workers: int, index: Path, say: Callable[[str], None]
) -> Iterator[dict[str, Any] | Problem]:
    """Each result, when it is on disk and in the index."""
    started = time.monotonic()
    for number, (task, result) in enumerate(run_all(prepare_one, shared, tasks, workers), 1):
        if isinstance(result, Problem):
            yield Problem(result.file, result.code, result.message, {**result.values, "volume": task.reconstruction})
            continue
        append_row(index, result)
        if number == _TIMED and len(tasks) > 4 * _TIMED:
            seconds = (time.monotonic() - started) / number * (len(tasks) - number)
            say(f"about {duration(seconds)} to go with {workers} processes")
        yield result


def _check_room(folder: Path, grid: Grid, count: int) -> str:
    """What will be written, in words. Raises DataError where the disk has no room for it."""
    needed = count * 2 * grid.size[0] * grid.size[1] * grid.size[2]
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder}: {count} volumes take {needed / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB free; free "
            "some space, or put data.prepared on another disk"
        )
    return f"preparing {count} volumes: {needed / 1e9:.2f} GB, {free / 1e9:.0f} GB free"


def _index_name() -> str:
    """Of this process alone: machines that share a folder, and jobs of an array, do not write into one file."""
    return f"index_{os.uname().nodename}_{os.getpid()}_{time.time_ns()}.jsonl"


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


def _file_stem(reconstruction: str) -> str:
    """A file name for any name of a volume; names that had to be changed stay apart by a hash."""
    stem = _UNSAFE.sub("_", reconstruction)
    if stem == reconstruction:
        return stem
    return f"{stem}-{hashlib.sha256(reconstruction.encode()).hexdigest()[:8]}"
