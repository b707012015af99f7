"""Writes one prepared volume, whole or not at all."""

import os
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import Any, BinaryIO

import numpy as np

from simcrop.adapters.content import ContentScan, content_problems, shape_problems
from simcrop.adapters.problems import BadFileError, Problem, refuse
from simcrop.adapters.resample import Grid, resample_volume
from simcrop.core.errors import DataError
from simcrop.core.ports import StudySource
from simcrop.core.study import Volume


@dataclass(frozen=True)
class Task:
    """One volume to prepare, and where to."""

    reconstruction: str
    array: Path


def prepare_one(shared: tuple[StudySource, Grid], task: Task) -> dict[str, Any] | Problem:
    """Write one volume's array; what the index says of it, or why it is refused.

    Raises:
        DataError: the array cannot be written.
    """
    source, grid = shared
    try:
        stamp = source_stamp(source, task.reconstruction)
        volume = source.read_volume(task.reconstruction)
        check_content(source, task.reconstruction, volume)
        voxels, affine = resample_volume(volume, grid)
    except BadFileError as bad:
        return bad.problem
    array = voxels.numpy()
    with whole_file(task.array) as file:
        np.save(file, array, allow_pickle=False)
        num_bytes = file.tell()
    return {
        "name": task.reconstruction,
        "affine": affine.tolist(),
        "source_affine": volume.affine.tolist(),
        "source": stamp,
        "bytes": num_bytes,
        "crc32": zlib.crc32(array.data),
    }


def check_content(source: StudySource, reconstruction: str, volume: Volume) -> None:
    """Refuse what a check of the data set calls an error."""
    path = source.volume_file(reconstruction)
    scan = ContentScan()
    scan.add(volume.voxels.numpy())
    x, y, z = volume.voxels.shape
    for found in shape_problems(str(path), (x, y, z), volume.spacing_mm):
        refuse(found)
    for found in content_problems(str(path), scan):
        refuse(found)


@contextmanager
def whole_file(path: Path) -> Generator[BinaryIO]:
    """A file that takes its name only once it is whole and on disk."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            kept, written = os.fstat(file.fileno()).st_size, file.tell()
            if kept < written:  # numpy does not look whether its last bytes found room
                raise OSError(f"{kept} of {written} bytes")
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
    """Name, size and time of a volume's file; of a folder of slices, of all in it. Empty where it cannot be seen."""
    path = Path(source.volume_file(reconstruction))
    try:
        status = path.stat()
        if not S_ISDIR(status.st_mode):
            return {"name": path.name, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
        slices = [entry.stat() for entry in os.scandir(path)]
    except OSError:
        return {}  # what is wrong with it is told when it is opened
    times = [status.st_mtime_ns, *(each.st_mtime_ns for each in slices)]
    return {"name": path.name, "bytes": sum(each.st_size for each in slices), "mtime_ns": max(times)}
