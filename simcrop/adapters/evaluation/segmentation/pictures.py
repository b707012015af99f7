"""Segmented volumes as pictures: the prediction as a tint, the truth as a line, three planes."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simcrop.adapters.evaluation.segmentation.organ_maps import OrganMaps
from simcrop.adapters.evaluation.segmentation.results import SegmentedStudy, Segmenter
from simcrop.adapters.figures.ct import PLANES, Array, Spacing, oriented, outline, show_ct, slice_extent
from simcrop.core.evaluation.metrics import mean_present

_TINT = 0.4
_LEGEND_COLUMNS = 7


def overlay_figure(
    hu: Array, predicted: Array, truth: Array, classes: Sequence[str], spacing_mm: Spacing, *, title: str
) -> Figure:
    """The slices that show most of the truth, with the prediction as a tint and the truth as an outline.

    Args:
        hu: [H, W, D].
        predicted: class of each voxel, 0 for the background.
        truth: the same.
        classes: their names, background left out.
        spacing_mm: of the voxels.
        title: above the picture.
    """
    colours = class_colours(len(classes))
    figure = Figure(figsize=(12.0, 4.9), layout="constrained")
    figure.suptitle(title, fontsize=11)
    for axes, (plane, axis) in zip(figure.subplots(1, 3), PLANES.items(), strict=True):
        index = _fullest(truth, axis)
        show_ct(axes, hu, spacing_mm, plane, index)
        extent = slice_extent(hu.shape, spacing_mm, plane)
        axes.imshow(_tint(oriented(predicted, plane, index), colours), extent=extent, interpolation="nearest")
        for number, colour in enumerate(colours, 1):
            outline(axes, oriented(truth, plane, index) == number, extent, colors=[colour], linewidths=1.4)
        axes.set_xlabel(plane, fontsize=9)
    marks = [Patch(facecolor=colour, label=name) for name, colour in zip(classes, colours, strict=True)]
    styles = [
        Patch(facecolor="grey", alpha=_TINT, label="tint: prediction"),
        Line2D([], [], color="grey", linewidth=1.4, label="line: truth"),
    ]
    figure.legend(
        handles=[*marks, *styles], loc="outside lower center", ncols=_LEGEND_COLUMNS, fontsize=8, frameon=False
    )
    return figure


def class_colours(count: int) -> list[tuple[float, float, float]]:
    """A colour for each class: well apart for up to ten, and then for up to twenty, and then along the hues."""
    name = "tab10" if count <= 10 else "tab20"
    palette = mpl.colormaps[name] if count <= 20 else mpl.colormaps["hsv"].resampled(count + 1)
    return [to_rgb(palette(index)) for index in range(count)]


def _fullest(truth: Array, axis: int) -> int:
    """The slice across an axis in which most classes, and then most of their voxels, are."""
    others = tuple(other for other in range(3) if other != axis)
    areas = np.stack([(truth == number).sum(axis=others) for number in range(1, int(truth.max(initial=1)) + 1)])
    return int(np.lexsort((areas.sum(0), (areas > 0).sum(0)))[-1])


def _tint(shown: Array, colours: Sequence[tuple[float, float, float]]) -> Array:
    """RGBA of a slice; transparent where the background is."""
    palette = np.array([(0.0, 0.0, 0.0, 0.0), *((*colour, _TINT) for colour in colours)])
    return palette[shown]


def outcome_figures(found: Sequence[SegmentedStudy], segmenter: Segmenter, maps: OrganMaps) -> dict[str, Figure]:
    """The `worst`, the `median` and the `best` study by mean Dice, segmented once more to be drawn; each study once.

    Args:
        found: the measured studies, at least one.
        segmenter: that made them.
        maps: their volumes.
    """
    ranked = sorted(found, key=lambda study: mean_present(study.dice))
    last = len(ranked) - 1
    chosen = {rank: name for name, rank in (("worst", 0), ("median", len(ranked) // 2), ("best", last))}
    figures: dict[str, Figure] = {}
    for rank, name in chosen.items():
        study, organs = ranked[rank], maps.read(ranked[rank].study.reconstructions[0])
        scores = ", ".join(f"{organ} {score:.3f}" for organ, score in zip(maps.classes, study.dice, strict=True))
        title = f"{name} of {len(found)} held-out studies: {study.study.study_id}\nDice: {scores}"
        predicted, truth = segmenter(organs.voxels).numpy(), organs.classes.numpy()
        figures[name] = overlay_figure(
            organs.voxels.numpy(), predicted, truth, maps.classes, maps.spacing_mm, title=title
        )
    return figures
