"""ROC curves as small pictures, one a label, their mean first."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simcrop.core.evaluation.bootstrap import Draws, Estimate
from simcrop.core.evaluation.classification import Measurement, Predicted
from simcrop.core.evaluation.roc import NUM_RATES, RocCurve, roc_curves

_COLUMNS = 5
_TITLE_WIDTH = 24
_CHARACTERS_PER_INCH = 12
_LINE = "#1f5fa8"
_MEAN_LINE = "#b3400e"
_CHANCE = "#808080"


@dataclass(frozen=True, eq=False)
class RocPanel:
    """One label's curve, None where it has none, and the area under it."""

    name: str
    curve: RocCurve | None
    auroc: Estimate
    is_mean: bool = False


def roc_figure(
    predicted: Predicted, measured: Measurement, names: Sequence[str], what: str, *, title: str, **draws: Unpack[Draws]
) -> Figure:
    """The curve of every label with its band and the area under it; the diagonal is chance. First their mean.

    Args:
        predicted: of the test set.
        measured: what `measure` has made of it.
        names: of the labels.
        what: these are called in the picture, labels or findings.
        title: above the picture.
        draws: behind the bands.
    """
    curves, mean = roc_curves(predicted, **draws)
    panels = [RocPanel(*each) for each in zip(names, curves, measured.by_label["auroc"], strict=True)]
    if len(panels) > 1:
        panels.insert(0, RocPanel(f"Mean over {what}", mean, measured.overall["auroc"], is_mean=True))
    band = f"; bands: {100 * draws['confidence']:g} % intervals over patients" if draws["num_draws"] else ""
    return panels_figure(panels, title=title + band)


def panels_figure(panels: Sequence[RocPanel], *, title: str) -> Figure:
    """Panels in rows of five, in their order, with labels at the rim alone."""
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width = max(5.0, 2.5 * columns)
    lines = textwrap.wrap(title, round(_CHARACTERS_PER_INCH * width))
    figure = Figure(figsize=(width, 0.6 + 0.25 * len(lines) + 2.75 * rows), layout="constrained")
    figure.suptitle("\n".join(lines), fontsize=11)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
    for place, panel in zip(axes, panels, strict=False):
        _draw(place, panel)
    for number, place in enumerate(axes[: len(panels)]):
        if number % columns == 0:
            place.set_ylabel("true positive rate", fontsize=8.5)
        if number + columns >= len(panels):
            place.set_xlabel("false positive rate", fontsize=8.5)
            place.tick_params(labelbottom=True)
    for unused in axes[len(panels) :]:
        unused.set_visible(False)
    return figure


def _draw(axes: Axes, panel: RocPanel) -> None:
    axes.set_title(textwrap.fill(panel.name, _TITLE_WIDTH), fontsize=9.5, weight="bold" if panel.is_mean else "normal")
    axes.plot([0, 1], [0, 1], color=_CHANCE, linewidth=0.8, linestyle="--")
    axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    if panel.curve is None:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", fontsize=9, backgroundcolor="white")
        return
    colour = _MEAN_LINE if panel.is_mean else _LINE
    at = [number / (NUM_RATES - 1) for number in range(NUM_RATES)]
    low, high = panel.curve.band.numpy()
    axes.fill_between(at, low, high, color=colour, alpha=0.22, linewidth=0)
    # From the origin, so that a curve which rises at once is seen to rise.
    axes.plot([0.0, *at], [0.0, *panel.curve.rates.tolist()], color=colour, linewidth=1.8, clip_on=False)
    axes.text(
        0.97,
        0.05,
        _area(panel.auroc),
        ha="right",
        va="bottom",
        fontsize=8.5,
        transform=axes.transAxes,
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5},
    )


def _area(auroc: Estimate) -> str:
    has_interval = auroc.low == auroc.low  # NaN is not itself
    return f"AUC {auroc.value:.2f}" + (f"\n{auroc.low:.2f} to {auroc.high:.2f}" if has_interval else "")
