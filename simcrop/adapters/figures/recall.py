"""Recall over the number of candidates that are looked at."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

_COLOURS = ("#1f5fa8", "#b3400e")
_CHANCE = "#808080"


def recall_figure(recall: Mapping[str, Sequence[float]], chance: Sequence[float], *, title: str) -> Figure:
    """Both directions in one picture, the number of candidates on a logarithmic axis.

    Args:
        recall: at 1, 2, ... candidates in each direction, by its name.
        chance: the same of candidates in random order.
        title: above the picture.
    """
    figure = Figure(figsize=(6.2, 4.4), layout="constrained")
    axes = figure.subplots()
    at = range(1, len(chance) + 1)
    for (name, values), colour in zip(recall.items(), _COLOURS, strict=False):
        axes.step(at, values, where="post", color=colour, linewidth=1.6, label=name)
    axes.plot(at, chance, color=_CHANCE, linestyle="--", linewidth=1.0, label="chance")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlim=(1, max(2, len(chance))), ylim=(0, 1.02))
    axes.set_xlabel("candidates looked at", fontsize=9)
    axes.set_ylabel("recall", fontsize=9)
    axes.set_title(title, fontsize=11)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, frameon=False, loc="upper left")
    return figure
