"""Recall over the number of candidates that are looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

_COLOURS = ("#1f5fa8", "#b3400e")
_CHANCE = "#808080"


@dataclass(frozen=True)
class RecallCurve:
    """Recall at 1, 2, ... candidates in one direction, and that of candidates in random order."""

    name: str
    recall: Sequence[float]
    chance: Sequence[float]


def recall_figure(curves: Sequence[RecallCurve], *, title: str) -> Figure:
    """Both directions in one picture, the number of candidates on a logarithmic axis.

    Args:
        curves: of equally many candidates.
        title: above the picture.
    """
    figure = Figure(figsize=(6.2, 4.4), layout="constrained")
    axes = figure.subplots()
    at = range(1, len(curves[0].recall) + 1)
    for curve, colour in zip(curves, _COLOURS, strict=False):
        axes.step(at, curve.recall, where="post", color=colour, linewidth=1.6, label=curve.name)
    axes.plot(at, curves[0].chance, color=_CHANCE, linestyle="--", linewidth=1.0, label="chance")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlim=(1, max(2, len(curves[0].recall))), ylim=(0, 1.02))
    axes.set_xlabel("candidates looked at", fontsize=9)
    axes.set_ylabel("recall", fontsize=9)
    axes.set_title(title, fontsize=11)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, frameon=False, loc="upper left")
    return figure
