"""Pictures of what a model does, drawn by matplotlib without a display.

Slices follow the radiological convention: the patient's right on the left of the picture, head or front on top, the
same scale in millimetres along both sides.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from simcrop.core.recipe import TERMS, Size

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
_OUTLINE = "#39ff6a"
_MAP_COLOURS = "plasma"
_TITLE_WIDTH = 100
_RIM: list[AbstractPathEffect] = [withStroke(linewidth=2.2, foreground="black")]


def oriented(volume: Array, plane: str, index: int) -> Array:
    """One slice of a RAS+ array as it is shown: rows from top to bottom, columns from left to right."""
    return volume.take(index, PLANES[plane]).T[::-1, ::-1]


def slice_extent(shape: Sequence[int], spacing_mm: Spacing, plane: str) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) of a shown slice in mm."""
    across, up = (axis for axis in range(3) if axis != PLANES[plane])
    return 0.0, shape[across] * spacing_mm[across], 0.0, shape[up] * spacing_mm[up]


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
        text.set_path_effects(_RIM)


def reconstruction_figure(original: Array, masked: Array, rebuilt: Array, spacing_mm: Spacing, *, title: str) -> Figure:
    """What the encoder saw, what the decoder made of it, and the truth, in three planes through the middle.

    Args:
        original: [H, W, D] HU.
        masked: the same with NaN where patches were hidden.
        rebuilt: the same with predictions in the hidden patches.
        spacing_mm: of the voxels.
        title: above the picture.
    """
    figure = Figure(figsize=(9.6, 10.2), layout="constrained")
    figure.suptitle(title, fontsize=11)
    panels = figure.subplots(3, 3)
    share = float(np.isnan(masked).mean())
    columns = {
        f"seen by the encoder\n({1 - share:.0%} of the patches)": masked,
        "rebuilt\n(hidden patches predicted)": rebuilt,
        "original": original,
    }
    for row, plane in enumerate(PLANES):
        index = original.shape[PLANES[plane]] // 2
        for column, (name, volume) in enumerate(columns.items()):
            show_ct(panels[row, column], volume, spacing_mm, plane, index)
            if row == 0:
                panels[row, column].set_title(name, fontsize=10)
        panels[row, 0].set_ylabel(plane, fontsize=10)
    return figure


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
            _outline(axes, item.mask, spacing_mm, plane, index)
        _overlay(overlay, item.similarity, scale, spacing_mm, plane, index)
        _cross(overlay, item, spacing_mm, plane)
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


def _outline(axes: Axes, mask: Array, spacing_mm: Spacing, plane: str, index: int) -> None:
    shown = oriented(mask, plane, index).astype(np.float32)
    if shown.any():
        extent = slice_extent(mask.shape, spacing_mm, plane)
        axes.contour(shown, levels=[0.5], colors=_OUTLINE, linewidths=1.0, extent=extent, origin="upper")


def _cross(axes: Axes, item: SentenceMap, spacing_mm: Spacing, plane: str) -> None:
    """The best patch's centre, projected onto the shown slice."""
    across, up = (axis for axis in range(3) if axis != PLANES[plane])
    # Columns run against the axis (the patient's right is on the left); rows too, but mm are counted from the bottom.
    x = (item.similarity.shape[across] - item.best_voxel[across] - 0.5) * spacing_mm[across]
    y = (item.best_voxel[up] + 0.5) * spacing_mm[up]
    axes.plot([x], [y], marker="+", color="white", markersize=9, markeredgewidth=1.4, path_effects=_RIM)


def curves_figure(rows: Sequence[Mapping[str, float | None]], *, title: str) -> Figure:
    """Each loss over the steps of a run: every training step, and the held-out values.

    Args:
        rows: what metrics.jsonl holds, in order.
        title: above the picture.
    """
    keys = [key for key in ("loss", *(f"loss_{term}" for term in TERMS)) if any(key in row for row in rows)]
    figure = Figure(figsize=(3.0 * max(1, len(keys)), 3.0), layout="constrained")
    figure.suptitle(title, fontsize=11)
    for axes, key in zip(figure.subplots(1, max(1, len(keys)), squeeze=False)[0], keys, strict=False):
        _curve(axes, rows, key, "training", linewidth=0.9, alpha=0.8)
        _curve(axes, rows, f"validation_{key}", "held-out", marker="o", markersize=3.5)
        axes.set_title("total" if key == "loss" else key.removeprefix("loss_").replace("_", " "), fontsize=10)
        axes.set_xlabel("step", fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, frameon=False)
    return figure


def _curve(axes: Axes, rows: Sequence[Mapping[str, float | None]], key: str, label: str, **style: Any) -> None:
    points = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
    axes.plot(*np.array(points, dtype=float).reshape(-1, 2).T, label=label, **style)
