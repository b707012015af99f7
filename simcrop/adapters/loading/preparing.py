"""Resample volumes and keep them, as `prepared` reads them: what is there from its present file is left alone."""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from simcrop.adapters.loading.kept_arrays import new_index
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.resample import Grid, resample_volume
from simcrop.adapters.loading.storage import StorageName
from simcrop.adapters.problems.content import refuse_content
from simcrop.adapters.problems.verdicts import source_stamp
from simcrop.adapters.system.cache_folder import append_row, make_cache_folder
from simcrop.adapters.system.pool import Progress, run_all
from simcrop.adapters.system.progress import duration
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.data.study import Study
from simcrop.core.errors import DataError
from simcrop.core.ports import DataSet

_TIMED = 8
"""Volumes after which the time left is told."""


def prepare(
    source: DataSet,
    studies: Sequence[Study],
    grid: Grid,
    cache: Path,
    *,
    storage: StorageName = "raw",
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
        storage: how the volumes are kept.
        workers: processes, each with one thread; 1 prepares in this process.
        progress: told at the start and after every volume.
        refused: receives the volumes that cannot be used, with the reason; without it they are raised.
        say: is told beforehand how much will be written, and soon how long it takes.

    Raises:
        DataError: the disk has too little room, or cannot be written; or, after the last volume, some cannot be used.
    """
    prepared = PreparedVolumes(source, grid, cache, storage)
    names = [name for study in studies for name in study.reconstructions]
    stale = [name for name in names if not prepared.is_current(name, source_stamp(source, name))]
    done = len(names) - len(stale)
    report = progress or (lambda done, total: None)
    report(done, len(names))
    if not stale:
        return prepared
    make_cache_folder(prepared.folder)
    say(_check_room(prepared, len(stale)))
    bad = {} if refused is None else refused
    for result in _prepare_all((source, prepared), stale, workers, say):
        done += 1
        if isinstance(result, Problem):
            bad[result.values["volume"]] = result
        report(done, len(names))
    if refused is None and bad:
        more = f" (and {len(bad) - 1} more volumes cannot be used)" if len(bad) > 1 else ""
        raise DataError(f"{min(map(str, bad.values()))}{more}; or list it under data.quarantine")
    prepared = PreparedVolumes(source, grid, cache, storage)
    for name in filter(prepared.is_made_often, names):
        prepared.is_current(name, source_stamp(source, name))  # and from now on it knows by which line
    return prepared


def _prepare_all(
    shared: tuple[DataSet, PreparedVolumes], names: Sequence[str], workers: int, say: Callable[[str], None]
) -> Iterator[dict[str, Any] | Problem]:
    """Each result, when it is on disk and in the index."""
    index = new_index(shared[1].folder)
    started = time.monotonic()
    for number, (name, result) in enumerate(run_all(prepare_one, shared, names, workers), 1):
        if isinstance(result, Problem):
            yield Problem(result.file, result.code, result.message, {**result.values, "volume": name})
            continue
        append_row(index, result)
        if number == _TIMED and len(names) > 4 * _TIMED:
            seconds = (time.monotonic() - started) / number * (len(names) - number)
            say(f"about {duration(seconds)} to go with {workers} processes")
        yield result


def prepare_one(shared: tuple[DataSet, PreparedVolumes], reconstruction: str) -> dict[str, Any] | Problem:
    """Write one volume's array, whole or not at all; what the index says of it, or why it is refused.

    Raises:
        DataError: the array cannot be written.
    """
    source, prepared = shared
    try:
        stamp = source_stamp(source, reconstruction)
        volume = source.read_volume(reconstruction)
        refuse_content(source.volume_file(reconstruction), volume)
        voxels, affine = resample_volume(volume, prepared.grid)
    except BadFileError as bad:
        return bad.problem
    return {
        "name": reconstruction,
        "affine": affine.tolist(),
        "source_affine": volume.affine.tolist(),
        "source": stamp,
        **prepared.write(reconstruction, voxels.numpy()),
    }


def _check_room(prepared: PreparedVolumes, count: int) -> str:
    """What will be written, in words. Raises DataError where the disk has no room for it."""
    folder = prepared.folder
    needed = count * 2 * math.prod(prepared.size) * prepared.storage.usual_share
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder}: {count} volumes take {needed / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB free; free "
            "some space, or put data.prepared on another disk"
        )
    return f"preparing {count} volumes: {needed / 1e9:.2f} GB, {free / 1e9:.0f} GB free"
