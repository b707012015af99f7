"""Hit rates of findings beside chance."""

import math
from collections.abc import Mapping

from matplotlib.figure import Figure

from simcrop.core.evaluation.bootstrap import Estimate

_BAR = "#1f5fa8"
_MEAN_BAR = "#b3400e"
_CHANCE = "#303030"


def finding_figure(rates: Mapping[str, Estimate], chances: Mapping[str, float], *, title: str) -> Figure:
    """A bar a finding with its interval, and a mark at chance.

    Args:
        rates: hit rate of each finding, from top to bottom; the one called mean stands apart in colour.
        chances: that of a patch taken at random, by the same names.
        title: above the picture.
    """
    figure = Figure(figsize=(7.2, 1.3 + 0.3 * len(rates)), layout="constrained")
    axes = figure.subplots()
    places = range(len(rates))
    colours = [_MEAN_BAR if name == "mean" else _BAR for name in rates]
    axes.barh(places, [rate.value for rate in rates.values()], color=colours, height=0.62, alpha=0.85)
    for place, (name, rate) in enumerate(rates.items()):
        if not math.isnan(rate.low):
            axes.plot([rate.low, rate.high], [place, place], color="black", linewidth=1.1)
        axes.text(1.005, place, f"{rate.value:.2f}", va="center", fontsize=8, transform=axes.get_yaxis_transform())
        axes.plot([chances[name]] * 2, [place - 0.42, place + 0.42], color=_CHANCE, linewidth=2.0)
    axes.plot([], [], color=_CHANCE, linewidth=2.0, label="a patch taken at random")
    axes.set_yticks(places, ["mean over findings" if name == "mean" else name for name in rates], fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("hit rate: the best patch overlaps the true place", fontsize=8.5)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", alpha=0.25)
    axes.set_title(title, fontsize=10.5)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return figure
