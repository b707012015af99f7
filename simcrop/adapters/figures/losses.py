"""Losses over the steps of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from simcrop.core.recipe import TERMS


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
