"""Writes one prepared volume, whole or not at all."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simcrop.adapters.loading.resample import Grid, resample_volume
from simcrop.adapters.problems.content import ContentScan, content_problems, shape_problems
from simcrop.adapters.problems.verdicts import source_stamp
from simcrop.adapters.system.cache_folder import cache_file
from simcrop.core.data.problems import BadFileError, Problem, refuse
from simcrop.core.data.study import Volume
from simcrop.core.ports import DataSet


@dataclass(frozen=True)
class Task:
    """One volume to prepare, and where to."""

    reconstruction: str
    array: Path


def prepare_one(shared: tuple[DataSet, Grid], task: Task) -> dict[str, Any] | Problem:
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
    with cache_file(task.array) as file:
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


def check_content(source: DataSet, reconstruction: str, volume: Volume) -> None:
    """Refuse what a check of the data set calls an error."""
    path = source.volume_file(reconstruction)
    scan = ContentScan()
    scan.add(volume.voxels.numpy())
    x, y, z = volume.voxels.shape
    for found in shape_problems(str(path), (x, y, z), volume.spacing_mm):
        refuse(found)
    for found in content_problems(str(path), scan):
        refuse(found)
