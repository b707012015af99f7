"""Organs in a scan as a picture: what was found as a tint, the truth as a line, three planes."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simcrop.adapters.figures.ct import PLANES, Array, Spacing, oriented, outline, show_ct, slice_extent

_TINT = 0.4
_LEGEND_COLUMNS = 7
_BRIGHT = (
    "#ff8c5a", "#63c7ff", "#39ff6a", "#ff78c8", "#ffd75e", "#aa8cff", "#2ce0c8", "#ff5a5a", "#c8e05a", "#5a8cff",
)  # fmt: skip
"""Legible as lines on black and on grey, and well apart."""


def overlay_figure(
    hu: Array, predicted: Array, truth: Array | None, classes: Sequence[str], spacing_mm: Spacing, *, title: str
) -> Figure:
    """The slices that show most of the organs, with the prediction as a tint and the truth as an outline.

    Args:
        hu: [H, W, D].
        predicted: class of each voxel, 0 for the background.
        truth: the same, which chooses the slices; None draws none, and the prediction chooses them.
        classes: their names, background left out.
        spacing_mm: of the voxels.
        title: above the picture.
    """
    colours = class_colours(len(classes))
    figure = Figure(figsize=(12.0, 4.9), layout="constrained")
    figure.suptitle(title, fontsize=11)
    for axes, (plane, axis) in zip(figure.subplots(1, 3), PLANES.items(), strict=True):
        index = _fullest(predicted if truth is None else truth, axis)
        show_ct(axes, hu, spacing_mm, plane, index)
        extent = slice_extent(hu.shape, spacing_mm, plane)
        axes.imshow(_tint(oriented(predicted, plane, index), colours), extent=extent, interpolation="nearest")
        if truth is not None:
            for number, colour in enumerate(colours, 1):
                outline(axes, oriented(truth, plane, index) == number, extent, colors=[colour], linewidths=1.4)
        axes.set_xlabel(plane, fontsize=9)
    marks: list[Artist] = [Patch(facecolor=colour, label=name) for name, colour in zip(classes, colours, strict=True)]
    if truth is not None:
        marks.append(Patch(facecolor="grey", alpha=_TINT, label="tint: prediction"))
        marks.append(Line2D([], [], color="grey", linewidth=1.4, label="line: truth"))
    if marks:
        figure.legend(handles=marks, loc="outside lower center", ncols=_LEGEND_COLUMNS, fontsize=8, frameon=False)
    return figure


def scan_figure(hu: Array, spacing_mm: Spacing, *, title: str) -> Figure:
    """The middle slices of a scan alone; arguments as above."""
    return overlay_figure(hu, np.zeros(hu.shape, np.uint8), None, (), spacing_mm, title=title)


def class_colours(count: int) -> list[tuple[float, float, float]]:
    """A colour for each class: well apart for up to ten, and then for up to twenty, and then along the hues."""
    if count <= len(_BRIGHT):
        return [to_rgb(colour) for colour in _BRIGHT[:count]]
    palette = mpl.colormaps["tab20"] if count <= 20 else mpl.colormaps["hsv"].resampled(count + 1)
    return [to_rgb(palette(index)) for index in range(count)]


def _fullest(classes: Array, axis: int) -> int:
    """The slice across an axis in which most classes, and then most of their voxels, are; the middle one of none."""
    others = tuple(other for other in range(3) if other != axis)
    numbers = range(1, int(classes.max()) + 1)
    if not numbers:
        return classes.shape[axis] // 2
    areas = np.stack([(classes == number).sum(axis=others) for number in numbers])
    return int(np.lexsort((areas.sum(0), (areas > 0).sum(0)))[-1])


def _tint(shown: Array, colours: Sequence[tuple[float, float, float]]) -> Array:
    """RGBA of a slice; transparent where the background is."""
    palette = np.array([(0.0, 0.0, 0.0, 0.0), *((*colour, _TINT) for colour in colours)])
    return palette[shown]
