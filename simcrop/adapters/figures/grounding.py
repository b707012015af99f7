"""Hit rates of findings beside chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from simcrop.core.evaluation.bootstrap import Estimate

_BAR = "#1f5fa8"
_MEAN_BAR = "#b3400e"
_CHANCE = "#303030"


@dataclass(frozen=True)
class FindingBar:
    """One finding's hit rate and that of a patch taken at random; the last of several is their mean."""

    name: str
    hit_rate: Estimate
    chance: float


def finding_figure(bars: Sequence[FindingBar], *, title: str) -> Figure:
    """A bar a finding with its interval, and a mark at chance.

    Args:
        bars: from top to bottom; the one called mean stands apart in colour.
        title: above the picture.
    """
    figure = Figure(figsize=(7.2, 1.3 + 0.3 * len(bars)), layout="constrained")
    axes = figure.subplots()
    places = range(len(bars))
    colours = [_MEAN_BAR if bar.name == "mean" else _BAR for bar in bars]
    axes.barh(places, [bar.hit_rate.value for bar in bars], color=colours, height=0.62, alpha=0.85)
    for place, bar in zip(places, bars, strict=True):
        rate = bar.hit_rate
        if not math.isnan(rate.low):
            axes.plot([rate.low, rate.high], [place, place], color="black", linewidth=1.1)
        axes.text(1.005, place, f"{rate.value:.2f}", va="center", fontsize=8, transform=axes.get_yaxis_transform())
        axes.plot([bar.chance] * 2, [place - 0.42, place + 0.42], color=_CHANCE, linewidth=2.0)
    axes.plot([], [], color=_CHANCE, linewidth=2.0, label="a patch taken at random")
    axes.set_yticks(places, ["mean over findings" if bar.name == "mean" else bar.name for bar in bars], fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("hit rate: the best patch overlaps the true place", fontsize=8.5)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", alpha=0.25)
    axes.set_title(title, fontsize=10.5)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return figure
