"""ROC curves: one picture a label, its area in words, and a label without a curve."""

import math

import torch

from simcrop.adapters.figures.roc import RocPanel, panels_figure
from simcrop.core.evaluation.bootstrap import Estimate
from simcrop.core.evaluation.roc import NUM_RATES, RocCurve

RATES = torch.linspace(0.5, 1, NUM_RATES, dtype=torch.float64)
CURVE = RocCurve(RATES, torch.stack([RATES - 0.125, RATES]))
NAN = math.nan


def test_a_curve_rises_from_the_origin_beside_the_diagonal_and_says_its_area() -> None:
    [axes] = panels_figure([RocPanel("Nodule", CURVE, Estimate(0.75, 0.7, 0.8))], title="t").axes
    diagonal, curve = (line.get_xydata() for line in axes.get_lines())
    assert diagonal.tolist() == [[0, 0], [1, 1]]
    assert curve[:2].tolist() == [[0, 0], [0, 0.5]]
    assert curve[-1].tolist() == [1, 1]
    assert [text.get_text() for text in axes.texts] == ["AUC 0.75\n0.70 to 0.80"]


def test_without_an_interval_or_a_curve_there_is_none_to_read() -> None:
    panels = [RocPanel("a", CURVE, Estimate(0.75, NAN, NAN)), RocPanel("b", None, Estimate(NAN, NAN, NAN))]
    first, second = panels_figure(panels, title="t").axes
    assert [text.get_text() for text in first.texts] == ["AUC 0.75"]
    assert [text.get_text() for text in second.texts] == ["not measured"]
    assert len(second.get_lines()) == 1


def test_five_pictures_a_row_and_labels_at_the_rim_alone() -> None:
    figure = panels_figure([RocPanel(str(n), CURVE, Estimate(0.5, NAN, NAN)) for n in range(7)], title="t")
    assert [axes.get_visible() for axes in figure.axes] == [True] * 7 + [False] * 3
    assert [n for n in range(7) if figure.axes[n].get_ylabel()] == [0, 5]
    assert [n for n in range(7) if figure.axes[n].get_xlabel()] == [2, 3, 4, 5, 6]
