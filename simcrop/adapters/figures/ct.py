"""Slices of CT as pictures, drawn by matplotlib without a display.

Slices follow the radiological convention: the patient's right on the left of the picture, head or front on top, the
same scale in millimetres along both sides.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy.typing import NDArray

from simcrop.core.recipe import Size

Spacing = tuple[float, float, float]
Array = NDArray[Any]

PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}
"""Name of a plane -> axis of a RAS+ array that it cuts."""
_EDGES = {"axial": "RLAP", "coronal": "RLHF", "sagittal": "APHF"}
_EDGE_PLACES = (
    (0.02, 0.5, "left", "center"),
    (0.98, 0.5, "right", "center"),
    (0.5, 0.98, "center", "top"),
    (0.5, 0.02, "center", "bottom"),
)
_DISPLAY_HU = (-1000.0, 400.0)
_HIDDEN = "#31486b"
_LETTERS = "#ffd75e"
RIM: list[AbstractPathEffect] = [withStroke(linewidth=2.2, foreground="black")]


def oriented(volume: Array, plane: str, index: int) -> Array:
    """One slice of a RAS+ array as it is shown: rows from top to bottom, columns from left to right."""
    return volume.take(index, PLANES[plane]).T[::-1, ::-1]


def slice_extent(shape: Sequence[int], spacing_mm: Spacing, plane: str) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) of a shown slice in mm."""
    across, up = (axis for axis in range(3) if axis != PLANES[plane])
    return 0.0, shape[across] * spacing_mm[across], 0.0, shape[up] * spacing_mm[up]


def shown_place(shape: Sequence[int], spacing_mm: Spacing, plane: str, voxel: Size) -> tuple[float, float]:
    """(x, y) of a voxel's centre in mm, projected onto a shown slice."""
    across, up = (axis for axis in range(3) if axis != PLANES[plane])
    # Columns run against the axis (the patient's right is on the left); rows too, but mm are counted from the bottom.
    return (shape[across] - voxel[across] - 0.5) * spacing_mm[across], (voxel[up] + 0.5) * spacing_mm[up]


def outline(axes: Axes, mask: Array, extent: tuple[float, float, float, float], **style: Any) -> None:
    """The edge of a shown slice of a mask, where it has one."""
    if mask.any() and not mask.all():
        axes.contour(mask.astype(np.float32), levels=[0.5], extent=extent, origin="upper", **style)


def show_ct(axes: Axes, hu: Array, spacing_mm: Spacing, plane: str, index: int) -> None:
    """A grey slice with letters for the patient's sides; NaN voxels, hidden from the encoder, in a flat colour."""
    grey = mpl.colormaps["gray"].with_extremes(bad=_HIDDEN)
    low, high = _DISPLAY_HU
    extent = slice_extent(hu.shape, spacing_mm, plane)
    axes.imshow(oriented(hu, plane, index), cmap=grey, vmin=low, vmax=high, extent=extent, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for letter, (x, y, horizontal, vertical) in zip(_EDGES[plane], _EDGE_PLACES, strict=True):
        text = axes.text(x, y, letter, transform=axes.transAxes, ha=horizontal, va=vertical, color=_LETTERS, fontsize=8)
        text.set_path_effects(RIM)
