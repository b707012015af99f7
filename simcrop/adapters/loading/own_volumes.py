"""Scans read and resampled one by one, for a model that is applied to them: nothing is kept on disk."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int16
from torch import Tensor

from simcrop.adapters.loading.own_grid import OwnGrid, own_grid
from simcrop.adapters.loading.resample import Grid, covering_grid, resample_volume
from simcrop.adapters.problems.content import refuse_content
from simcrop.adapters.problems.unusual import unusual
from simcrop.adapters.problems.verdicts import Stamp, source_stamp
from simcrop.core.data.augment import centre_start, crop_centre
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.data.study import Volume
from simcrop.core.ports import DataSet
from simcrop.core.recipe import Size

Spacing = tuple[float, float, float]
"""Along x, y, z; mm."""
Show = Callable[[Volume], Volume] | None
"""Makes of a scan what a page shows of it: a function of a module, or a partial of one; None where there is no page."""


@dataclass(frozen=True, eq=False)
class SeenScan:
    """What a model is given of a scan.

    Attributes:
        voxels: HU: the centre of the scan on the model's grid, the same voxels as evaluation reads.
        affine: [4, 4], maps indices of the voxels to world coordinates in mm, RAS.
        notes: in what it looks unlike a chest that the model knows.
        shown: of it on a page, HU.
    """

    voxels: Int16[Tensor, "H W D"]
    affine: Float[Tensor, "4 4"]
    notes: tuple[Problem, ...]
    shown: Volume | None


@dataclass(frozen=True, eq=False)
class WholeScan(SeenScan):
    """All of a scan, at some spacing.

    Attributes:
        grid: of the scan's own file.
    """

    grid: OwnGrid


@dataclass(frozen=True, eq=False)
class Looked:
    """What came of reading a scan.

    Attributes:
        source: stamp of its file.
        seconds: that reading and resampling took.
        found: what a model is given of it, or why there is nothing.
    """

    source: Stamp
    seconds: float
    found: SeenScan | Problem


def centre_of(volume: Volume, grid: Grid, size: Size) -> Volume:
    """The centre of a volume on a grid, as evaluation cuts it of prepared volumes.

    Args:
        volume: in HU.
        grid: that it is resampled onto.
        size: of the centre.
    """
    whole, affine = resample_volume(volume, grid)
    shift = torch.eye(4, dtype=affine.dtype)
    shift[:3, 3] = torch.tensor(centre_start(grid.size, size), dtype=affine.dtype)
    return Volume(crop_centre(whole, size).to(torch.int16).contiguous(), affine @ shift)


def look_at_centre(shared: tuple[DataSet, tuple[Grid, Size, Show]], scan: str) -> Looked:
    """Read the part of a scan that a model sees; a function of a module for `run_all`.

    Args:
        shared: the scans; the grid that they are resampled onto, the size of the centre that is taken of it, and what
            a page shows of them.
        scan: its name.
    """
    source, (grid, size, show) = shared

    def seen(volume: Volume) -> SeenScan:
        centre = centre_of(volume, grid, size)
        notes = _notes(source, scan, volume, centre.voxels, grid.spacing_mm)
        return SeenScan(centre.voxels, centre.affine, notes, None if show is None else show(volume))

    return _look(source, scan, seen)


def look_at_whole(shared: tuple[DataSet, tuple[Spacing, Show]], scan: str) -> Looked:
    """Read all of a scan; a function of a module for `run_all`.

    Args:
        shared: the scans; the spacing that they are resampled to, and what a page shows of them.
        scan: its name.
    """
    source, (spacing_mm, show) = shared

    def seen(volume: Volume) -> SeenScan:
        voxels, affine = resample_volume(volume, covering_grid(volume, spacing_mm))
        notes = _notes(source, scan, volume, voxels, spacing_mm)
        shown = None if show is None else show(volume)
        return WholeScan(voxels, affine, notes, shown, own_grid(source, scan, volume))

    return _look(source, scan, seen)


def _look(source: DataSet, scan: str, seen: Callable[[Volume], SeenScan]) -> Looked:
    stamp, began = source_stamp(source, scan), time.monotonic()
    try:
        volume = source.read_volume(scan)
        refuse_content(source.volume_file(scan), volume)
        found = seen(volume)
    except BadFileError as bad:
        found = bad.problem
    return Looked(stamp, round(time.monotonic() - began, 3), found)


def _notes(source: DataSet, scan: str, volume: Volume, voxels: Tensor, spacing_mm: Spacing) -> tuple[Problem, ...]:
    return tuple(unusual(source.volume_file(scan), volume, voxels.numpy(), spacing_mm))
