"""Picture of the places where a model looks for sentences, beside where they point."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure

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

_OUTLINE = "#39ff6a"
_MAP_COLOURS = "plasma"
_TITLE_WIDTH = 100


@dataclass(frozen=True, eq=False)
class SentenceMap:
    """One sentence and where a model looks for it.

    Attributes:
        sentence: as it stands in the report.
        about: what it speaks of, in a few words.
        mask: [H, W, D], True where the sentence points.
        similarity: [H, W, D] cosines, interpolated between the centres of the patches.
        best_voxel: centre of the patch of highest similarity.
        hit: that patch overlaps the mask.
        chance: share of patches that do, in [0, 1].
    """

    sentence: str
    about: str
    mask: Array
    similarity: Array
    best_voxel: Size
    hit: bool
    chance: float


def similarity_figure(hu: Array, maps: Sequence[SentenceMap], spacing_mm: Spacing, *, title: str) -> Figure:
    """For each sentence the slices through its place, with the true outline and with the similarity map.

    Args:
        hu: [H, W, D].
        maps: the sentences, at least one.
        spacing_mm: of the voxels.
        title: above the picture.
    """
    figure = Figure(figsize=(11.0, 0.6 + 3.3 * len(maps)), layout="constrained")
    figure.suptitle(title, fontsize=11)
    rows = figure.subfigures(len(maps), 1, squeeze=False)[:, 0]
    for row, item in zip(rows, maps, strict=True):
        _draw_sentence(row, hu, item, spacing_mm)
    return figure


def _draw_sentence(figure: SubFigure, hu: Array, item: SentenceMap, spacing_mm: Spacing) -> None:
    verdict = "inside" if item.hit else "outside"
    quoted = textwrap.fill(f"“{item.sentence}”", _TITLE_WIDTH)
    about = f"{item.about}: best patch (cross) {verdict} the outline; chance {item.chance:.1%}"
    figure.suptitle(f"{quoted}\n{about}", fontsize=9.5)
    panels = figure.subplots(1, 4)
    scale = Normalize(float(np.median(item.similarity)), float(item.similarity.max()) + 1e-6, clip=True)
    for column, plane in enumerate(("axial", "coronal")):
        axis = PLANES[plane]
        index = int(item.mask.sum(axis=tuple(other for other in range(3) if other != axis)).argmax())
        truth, overlay = panels[2 * column], panels[2 * column + 1]
        for axes in (truth, overlay):
            show_ct(axes, hu, spacing_mm, plane, index)
            mask, extent = oriented(item.mask, plane, index), slice_extent(hu.shape, spacing_mm, plane)
            outline(axes, mask, extent, colors=_OUTLINE, linewidths=1.0)
        _overlay(overlay, item.similarity, scale, spacing_mm, plane, index)
        x, y = shown_place(hu.shape, spacing_mm, plane, item.best_voxel)
        overlay.plot([x], [y], marker="+", color="white", markersize=9, markeredgewidth=1.4, path_effects=RIM)
        truth.set_xlabel(f"{plane}: true place", fontsize=8.5)
        overlay.set_xlabel(f"{plane}: similarity", fontsize=8.5)
    bar = figure.colorbar(ScalarMappable(scale, _MAP_COLOURS), ax=panels, fraction=0.02, pad=0.01, extend="min")
    bar.set_label("cosine similarity", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _overlay(axes: Axes, similarity: Array, scale: Normalize, spacing_mm: Spacing, plane: str, index: int) -> None:
    """The map in colour, more opaque where it is higher, so that the CT shows where the sentence is not looked for."""
    shown = oriented(similarity, plane, index)
    extent = slice_extent(similarity.shape, spacing_mm, plane)
    opacity = 0.75 * np.asarray(scale(shown))
    axes.imshow(shown, cmap=_MAP_COLOURS, norm=scale, alpha=opacity, extent=extent, interpolation="nearest")
