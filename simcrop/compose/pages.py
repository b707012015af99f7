"""The common parts of pages of scans: voxels, cautions, and how an evaluation writes one."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from simcrop.adapters.figures.organs import class_colours
from simcrop.adapters.loading.own_grid import OwnGrid, on_grid
from simcrop.adapters.loading.resample import Grid, covering_grid, resample_volume
from simcrop.adapters.pages.html import require_viewer
from simcrop.adapters.pages.scan_page import Classes, Image, Point, ScanPage, write_scan_page
from simcrop.adapters.system.files import make_folder
from simcrop.adapters.system.provenance import versions
from simcrop.core.data.study import Volume
from simcrop.core.errors import ConfigError
from simcrop.core.recipe import ModelRecipe

MAP_SAMPLES = 5
"""Of a map along each edge of a patch: the viewer draws the nearest one. The middle one is the patch's own value."""
PANEL_DPI = 84
_PAGE = "page.html"
_FINEST_MM = (1.5, 1.5, 3.0)
"""Voxels of the scan on a page, unless its own are asked for: the box of the paper's model is 3 MB of them."""
_Spacing = tuple[float, float, float]
_log = logging.getLogger("simcrop")


def cautions(*more: str) -> list[str]:
    """What every page warns of, and more: sentences, with or without a capital and a full stop."""
    return [
        "Research software, not a medical device.",
        *(f"{line[0].upper()}{line[1:].removesuffix('.')}." for line in more),
        "This file holds patient data, the scan and what is said of it: keep it as you keep the scan.",
    ]


def versions_text() -> str:
    """Versions of what computed, in a line."""
    return ", ".join(f"{name} {number}" for name, number in versions().items())


def shown_box(volume: Volume, recipe: ModelRecipe) -> Volume:
    """The box of a volume that a model sees, on voxels for a page."""
    box = [size * mm for size, mm in zip(recipe.volume_size, recipe.spacing_mm, strict=True)]
    spacing = _shown_spacing(volume, recipe.spacing_mm)
    width, depth, height = (round(length / mm) for length, mm in zip(box, spacing, strict=True))
    return Volume(*resample_volume(volume, Grid(spacing, (width, depth, height))))


def shown_whole(volume: Volume, spacing_mm: _Spacing) -> Volume:
    """All of a volume on voxels for a page, none larger than those of a model's spacing, mm."""
    return Volume(*resample_volume(volume, covering_grid(volume, _shown_spacing(volume, spacing_mm))))


def _shown_spacing(volume: Volume, spacing_mm: _Spacing) -> _Spacing:
    wanted = zip(spacing_mm, volume.spacing_mm, _FINEST_MM, strict=True)
    x, y, z = (min(model, max(own, finest)) for model, own, finest in wanted)
    return x, y, z


def image_of(volume: Volume) -> Image:
    """A volume as pages take it."""
    return Image(volume.voxels.numpy(), volume.affine.double().numpy())


def classes_on(
    image: Image, predicted: UInt8[Tensor, "H W D"], affine: Tensor, num_classes: int, truth: Tensor | None = None
) -> Classes:
    """Classes for a scan of a page.

    Args:
        image: the scan.
        predicted: class of each voxel of a grid that covers it.
        affine: [4, 4] of that grid.
        num_classes: without the background.
        truth: class of each voxel of the scan itself.
    """
    x, y, z = image.voxels.shape
    own = on_grid(predicted, affine, OwnGrid((x, y, z), (x, y, z), torch.from_numpy(image.affine)))
    return Classes(own.numpy(), None if truth is None else truth.numpy(), class_colours(num_classes))


def centre_mm(inside: NDArray[np.bool_], affine: NDArray[np.float64]) -> Point | None:
    """The voxel of a mask that is nearest to its centre of mass, so that it lies in it; mm. None of an empty one.

    Args:
        inside: [X, Y, Z].
        affine: [4, 4] of the mask.
    """
    voxels: NDArray[Any] = np.argwhere(inside)
    if not len(voxels):
        return None
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    x, y, z = (float(mm) for mm in world[np.linalg.norm(world - world.mean(0), axis=1).argmin()])
    return x, y, z


def write_evaluation_page(out: Path, make: Callable[[], ScanPage | None]) -> None:
    """Write page.html into an evaluation's folder, where there is a viewer and something to show.

    Args:
        out: the folder; the page of an earlier evaluation is removed.
        make: gives the page, or None where there is nothing to show.
    """
    (out / _PAGE).unlink(missing_ok=True)
    try:
        require_viewer()
    except ConfigError as error:
        _log.info("no page is written: %s", error)
        return
    page = make()
    if page is not None:
        make_folder(out)
        write_scan_page(out / _PAGE, page)
