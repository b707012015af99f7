"""Writes prepared volumes, in this process or in several, each whole or not at all."""

import json
import os
import signal
import zlib
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from simcrop.adapters.resample import Grid, resample_volume
from simcrop.core.errors import DataError
from simcrop.core.ports import StudySource

_MIN_FOR_POOL = 4
"""Below this many volumes, starting processes takes longer than they save."""


@dataclass(frozen=True)
class Task:
    """One volume to prepare, and where to."""

    reconstruction: str
    array: Path


def prepare_all(source: StudySource, grid: Grid, tasks: Sequence[Task], workers: int) -> Iterator[str | None]:
    """Yield None or an error message for every task, in any order."""
    if workers <= 1 or len(tasks) < _MIN_FOR_POOL:
        for task in tasks:
            yield prepare_one(source, grid, task)
        return
    with ProcessPoolExecutor(min(workers, len(tasks)), initializer=_start_worker, initargs=(source, grid)) as pool:
        try:
            for future in as_completed([pool.submit(_prepare_in_worker, task) for task in tasks]):
                yield future.result()
        except BrokenProcessPool as error:
            raise DataError(
                f"{tasks[0].array.parent}: a preparing process was ended by the system, most likely for want of "
                "memory; prepare with fewer workers"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_in_worker: dict[str, Any] = {}
"""What a worker process was started with; a pool cannot hand arguments to its initializer any other way."""


def _start_worker(source: StudySource, grid: Grid) -> None:
    # The parent alone answers Ctrl-C and termination; its handlers mean nothing here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    _in_worker.update(source=source, grid=grid)


def _prepare_in_worker(task: Task) -> str | None:
    return prepare_one(_in_worker["source"], _in_worker["grid"], task)


def prepare_one(source: StudySource, grid: Grid, task: Task) -> str | None:
    """Write one volume's array and sidecar; the message if it cannot be read."""
    try:
        stamp = source_stamp(source, task.reconstruction)
        volume = source.read_volume(task.reconstruction)
        voxels, affine = resample_volume(volume, grid)
    except DataError as error:
        return str(error)
    array = voxels.numpy()
    with whole_file(task.array) as file:
        np.save(file, array, allow_pickle=False)
        num_bytes = file.tell()
    sidecar = {
        "affine": affine.tolist(),
        "source_affine": volume.affine.tolist(),
        "source": stamp,
        "bytes": num_bytes,
        "crc32": zlib.crc32(array.data),
    }
    with whole_file(task.array.with_suffix(".json")) as file:
        file.write(json.dumps(sidecar).encode())
    return None


@contextmanager
def whole_file(path: Path) -> Generator[BinaryIO]:
    """A file that takes its name only once it is whole and on disk."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error}); free disk space or change data.prepared") from error
    finally:
        draft.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder of the cache. Raises DataError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror}); change data.prepared") from error


def source_stamp(source: StudySource, reconstruction: str) -> dict[str, Any]:
    path = Path(source.volume_file(reconstruction))
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); correct the path, or download it") from error
    return {"name": path.name, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
