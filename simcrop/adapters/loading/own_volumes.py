"""Scans read and resampled one by one, for a model that is applied to them: nothing is kept on disk."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int16
from numpy.typing import NDArray
from torch import Tensor

from simcrop.adapters.loading.resample import Grid, resample_volume
from simcrop.adapters.problems.content import refuse_content
from simcrop.adapters.problems.unusual import unusual
from simcrop.adapters.problems.verdicts import Stamp, source_stamp
from simcrop.core.data.augment import crop_centre
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.data.study import Volume
from simcrop.core.ports import DataSet
from simcrop.core.recipe import Size


@dataclass(frozen=True, eq=False)
class Looked:
    """One scan as a model sees it, or why it cannot.

    Attributes:
        source: stamp of its file.
        seconds: that reading and resampling took.
        voxels: [H, W, D] int16 HU: the centre of the scan on the model's grid, the same voxels as evaluation reads.
        problem: why there are none.
        notes: in what it looks unlike a chest that the model knows.
    """

    source: Stamp
    seconds: float
    voxels: NDArray[np.int16] | None = None
    problem: Problem | None = None
    notes: tuple[Problem, ...] = ()


def centre_of(volume: Volume, grid: Grid, size: Size) -> Int16[Tensor, "H W D"]:
    """The centre of a volume on a grid, as evaluation cuts it of prepared volumes.

    Args:
        volume: in HU.
        grid: that it is resampled onto.
        size: of the centre.
    """
    return crop_centre(resample_volume(volume, grid)[0], size).to(torch.int16).contiguous()


def look_at_scan(shared: tuple[DataSet, Grid, Size], scan: str) -> Looked:
    """Read a scan; a function of a module for `run_all`.

    Args:
        shared: the scans, the grid that they are resampled onto, and the size of the centre that is taken of it.
        scan: its name.
    """
    source, grid, size = shared
    stamp, began = source_stamp(source, scan), time.monotonic()
    found: dict[str, Any]
    try:
        volume = source.read_volume(scan)
        refuse_content(source.volume_file(scan), volume)
        voxels = centre_of(volume, grid, size).numpy()
        notes = tuple(unusual(source.volume_file(scan), volume, voxels, grid.spacing_mm))
        found = {"voxels": voxels, "notes": notes}
    except BadFileError as bad:
        found = {"problem": bad.problem}
    return Looked(stamp, round(time.monotonic() - began, 3), **found)
