"""The picture of `simcrop locate`: three planes through the best place, with and without the map of the sentence."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from simcrop.adapters.figures.ct import (
    PLANES,
    RIM,
    Array,
    Spacing,
    oriented,
    outline,
    show_ct,
    shown_place,
    slice_extent,
)
from simcrop.core.recipe import Size

_BACKGROUND = "#101317"
_TEXT = "#e8e8e8"
_FAINT = "#9aa3ad"
_EDGE = "#8fd3ff"
_COLOURS = "inferno"
_BARS_MM = (200, 100, 50, 20, 10, 5, 2, 1)
_PANELS, _TALLEST = 10.4, 4.2
"""Width of the three panels, and height of the tallest, at most; inches, as are those below."""
_LEFT, _RIGHT, _HEAD, _FOOT, _GAP = 0.3, 1.1, 1.3, 0.25, 0.12


@dataclass(frozen=True, eq=False)
class Located:
    """A sentence in a scan.

    Attributes:
        sentence: as it was asked.
        facts: lines below it.
        hu: [H, W, D], axes in RAS+ order.
        similarity: cosines on the same voxels.
        inside: where the model sees the scan.
        best_voxel: of the highest similarity.
        spacing_mm: of the voxels.
    """

    sentence: str
    facts: Sequence[str]
    hu: Array
    similarity: Array
    inside: Array
    best_voxel: Size
    spacing_mm: Spacing


def located_figure(located: Located) -> Figure:
    """Axial, coronal and sagittal slice through the best voxel: the CT with the map over it, and below the CT alone.

    Args:
        located: what to draw; a cross marks the best voxel, a dashed line the end of what the model sees.
    """
    sizes = [slice_extent(located.hu.shape, located.spacing_mm, plane) for plane in PLANES]
    widths = [right for _, right, _, _ in sizes]
    tallest = max(top for _, _, _, top in sizes)
    inches = min(_PANELS / sum(widths), _TALLEST / tallest)  # for a mm, the same in all panels
    size = (_LEFT + inches * sum(widths) + 2 * _GAP + _RIGHT, _HEAD + 2 * inches * tallest + _GAP + _FOOT)
    figure = Figure(figsize=size, facecolor=_BACKGROUND)
    bottom, top = _FOOT / size[1], 1 - _HEAD / size[1]
    grid = figure.add_gridspec(
        2,
        3,
        width_ratios=widths,
        left=_LEFT / size[0],
        right=1 - _RIGHT / size[0],
        bottom=bottom,
        top=top,
        wspace=3 * _GAP / (inches * sum(widths)),
        hspace=_GAP / (inches * tallest),
    )
    _write_head(figure, located)
    shown = located.similarity[located.inside] if located.inside.any() else located.similarity
    scale = Normalize(float(np.median(shown)), float(shown.max()) + 1e-6, clip=True)
    for column, plane in enumerate(PLANES):
        index = located.best_voxel[PLANES[plane]]
        for line in range(2):
            axes = figure.add_subplot(grid[line, column], facecolor="black")
            show_ct(axes, located.hu, located.spacing_mm, plane, index)
            if line == 0:
                _overlay(axes, located, scale, plane, index)
                axes.set_title(plane, color=_TEXT, fontsize=10, pad=4)
            _scale_bar(axes, sizes[column])
            _mark(axes, located, plane)
            for spine in axes.spines.values():
                spine.set_edgecolor("#3a4149")
    _colour_bar(figure, scale, bottom, top)
    return figure


def _write_head(figure: Figure, located: Located) -> None:
    width, height = figure.get_size_inches()
    characters = int(8.6 * width)
    sentence = textwrap.fill(f"“{located.sentence}”", characters, max_lines=2, placeholder=" …”")
    figure.text(_LEFT / width, 1 - 0.16 / height, sentence, color="white", fontsize=13.5, va="top")
    facts = "\n".join(textwrap.shorten(fact, round(1.6 * characters), placeholder=" …") for fact in located.facts)
    below = 0.48 + 0.24 * sentence.count("\n")
    figure.text(_LEFT / width, 1 - below / height, facts, color=_FAINT, fontsize=8.5, va="top", linespacing=1.4)


def _overlay(axes: Axes, located: Located, scale: Normalize, plane: str, index: int) -> None:
    shown = oriented(located.similarity, plane, index)
    extent = slice_extent(located.hu.shape, located.spacing_mm, plane)
    opacity = np.where(oriented(located.inside, plane, index), 0.7 * np.asarray(scale(shown)) ** 0.8, 0.0)
    axes.imshow(shown, cmap=_COLOURS, norm=scale, alpha=opacity, extent=extent, interpolation="bilinear")
    seen = oriented(located.inside, plane, index)
    outline(axes, seen, extent, colors=_EDGE, linewidths=0.9, linestyles="dashed")


def _mark(axes: Axes, located: Located, plane: str) -> None:
    """Hair lines that meet at the best voxel, open around it."""
    left, right, bottom, top = slice_extent(located.hu.shape, located.spacing_mm, plane)
    x, y = shown_place(located.hu.shape, located.spacing_mm, plane, located.best_voxel)
    gap = 0.045 * max(right, top)
    style: dict[str, Any] = {"color": "white", "linewidth": 0.7, "alpha": 0.75}
    for low, high in ((left, x - gap), (x + gap, right)):
        axes.plot([low, high], [y, y], **style)
    for low, high in ((bottom, y - gap), (y + gap, top)):
        axes.plot([x, x], [low, high], **style)
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _scale_bar(axes: Axes, extent: tuple[float, float, float, float]) -> None:
    """A bar of a round number of mm, at most a third of the width."""
    _, right, _, top = extent
    length = next((mm for mm in _BARS_MM if mm <= right / 3), _BARS_MM[-1])
    x, y = 0.05 * right, 0.05 * top
    axes.plot([x, x + length], [y, y], color="white", linewidth=2.4, solid_capstyle="butt", path_effects=RIM)
    axes.text(
        x + length / 2, y + 0.02 * top, f"{length} mm", color="white", fontsize=8, ha="center", va="bottom",
        path_effects=RIM,
    )  # fmt: skip


def _colour_bar(figure: Figure, scale: Normalize, bottom: float, top: float) -> None:
    middle = (bottom + top) / 2
    width = figure.get_figwidth()
    place = figure.add_axes((1 - (_RIGHT - 0.18) / width, middle + 0.03, 0.16 / width, top - middle - 0.06))
    bar = figure.colorbar(ScalarMappable(scale, _COLOURS), cax=place, extend="min")
    bar.set_label("cosine similarity", color=_TEXT, fontsize=9)
    bar.ax.tick_params(labelsize=8, colors=_TEXT)
    bar.locator = MaxNLocator(6)
    bar.update_ticks()
    bar.outline.set_edgecolor("#3a4149")  # pyright: ignore[reportCallIssue]
