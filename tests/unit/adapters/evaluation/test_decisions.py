"""Decisions at thresholds, by hand: what is counted, what stands in the files, and what is printed."""

import io
import math

import pytest
import torch
from rich.console import Console

from simcrop.adapters.evaluation.decisions import Decisions, decisions_table
from simcrop.core.evaluation.bootstrap import Draws
from simcrop.core.evaluation.classification import Predicted, measure

NAMES = ("Nodule", "Effusion", "Rare")
DRAWS = Draws(num_draws=0, confidence=0.9, seed=0)
SCORES = torch.tensor([[0.9, 0.4, 0.1], [0.3, 0.3, 0.1], [0.4, 0.2, 0.1], [0.1, 0.6, 0.1]], dtype=torch.float64)
TRUTH = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]], dtype=torch.bool)
PREDICTED = Predicted(SCORES, TRUTH, list("abcd"), False, torch.ones(3, dtype=torch.bool))


def decided(*thresholds: float) -> Decisions:
    found = Decisions.of(PREDICTED, thresholds, DRAWS)
    assert found is not None
    return found


def test_each_finding_is_cut_at_its_own_threshold() -> None:
    found = decided(0.25, 0.25, math.nan)
    nodule, effusion, rare = (found.of_finding(index) for index in range(3))
    assert (nodule["threshold"], nodule["precision"]["value"], nodule["recall"]["value"]) == (0.25, 2 / 3, 1.0)
    assert (nodule["specificity"]["value"], nodule["accuracy"]["value"]) == (0.5, 0.75)
    assert [effusion[name]["value"] for name in ("f1", "f1_weighted", "specificity")] == [1.0, 1.0, 1.0]
    assert all(math.isnan(each["value"]) for name, each in rare.items() if name != "threshold")
    assert found.overall()["f1_macro"]["value"] == pytest.approx((0.8 + 1.0) / 2)
    assert found.overall()["recall_macro"]["value"] == 1.0


@pytest.mark.parametrize("thresholds", [(), (math.nan, math.nan, math.nan)])
def test_without_thresholds_there_are_none(thresholds: tuple[float, ...]) -> None:
    assert Decisions.of(PREDICTED, thresholds, DRAWS) is None


def test_the_table_shows_both_means_and_names_what_has_no_threshold() -> None:
    console = Console(record=True, width=110, file=io.StringIO())
    fixed = measure(PREDICTED, **DRAWS)
    table = decisions_table(NAMES, decided(0.25, 0.25, math.nan), fixed, chosen_by="nine studies", fixed_at="0.5")
    console.print(table)
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["Nodule", "0.250", "0.800", "0.733", "0.750", "0.667", "1.000", "0.500"] in lines
    assert ["Rare", *"-------"] in lines
    assert ["mean", "0.900", "0.867", "0.875", "0.833", "1.000", "0.750"] in lines
    assert [line[:3] for line in lines if line[:2] == ["mean", "at"]] == [["mean", "at", "0.5"]]
    text = " ".join(" ".join(line) for line in lines)
    assert "highest sensitivity plus specificity among nine studies" in text
    assert "without a threshold, and so in the lower mean alone: Rare" in text
