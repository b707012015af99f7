"""Bars of hit rates: how long, in which order, and where chance and intervals are marked."""

import math

from simcrop.adapters.figures.grounding import finding_figure
from simcrop.core.evaluation.bootstrap import Estimate

NAN = math.nan
RATES = {
    "Nodule": Estimate(0.5, 0.25, 0.75),
    "Effusion": Estimate(0.75, NAN, NAN),
    "mean": Estimate(0.625, 0.5, 0.7),
}
CHANCES = {"Nodule": 0.125, "Effusion": 0.25, "mean": 0.1875}


def test_bars_stand_from_top_to_bottom_with_the_mean_in_a_colour_of_its_own() -> None:
    [axes] = finding_figure(RATES, CHANCES, title="t").axes
    assert [bar.get_width() for bar in axes.patches] == [0.5, 0.75, 0.625]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Nodule", "Effusion", "mean over findings"]
    bottom, top = axes.get_ylim()
    assert bottom > top
    colours = [bar.get_facecolor() for bar in axes.patches]
    assert colours[0] == colours[1] != colours[2]
    assert [text.get_text() for text in axes.texts] == ["0.50", "0.75", "0.62"]


def test_chance_is_marked_on_every_bar_and_an_interval_where_there_is_one() -> None:
    [axes] = finding_figure(RATES, CHANCES, title="t").axes
    lines = [line.get_xydata().tolist() for line in axes.get_lines() if len(line.get_xydata())]
    assert [line for line in lines if line[0][1] == line[1][1]] == [[[0.25, 0], [0.75, 0]], [[0.5, 2], [0.7, 2]]]
    assert [line[0][0] for line in lines if line[0][0] == line[1][0]] == [0.125, 0.25, 0.1875]
