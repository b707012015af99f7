"""Comparison of settings."""

import math

import pytest
import torch
from sklearn.metrics import log_loss

from simcrop.core.evaluation.selection import best_of, selection_score, without_prefix

ALL = torch.tensor([True, True])
TRUTH = torch.tensor([[True, False], [False, False], [True, False]])
SAID = torch.tensor([[0.8, 0.1], [0.3, 0.2], [0.6, 0.4]], dtype=torch.float64)


def test_area_is_over_labels_that_can_be_told_and_loss_over_all_that_were_learned() -> None:
    score = selection_score(SAID, TRUTH, learned=ALL, exclusive=False)
    assert score["selection_auroc"] == 1.0
    expected = [log_loss(TRUTH[:, c].numpy(), SAID[:, c].numpy(), labels=[False, True]) for c in range(2)]
    assert score["selection_loss"] == pytest.approx(sum(expected) / 2)
    first = selection_score(SAID, TRUTH, learned=torch.tensor([True, False]), exclusive=False)
    assert first["selection_loss"] == pytest.approx(expected[0])


def test_loss_of_classes_is_that_of_the_right_one() -> None:
    truth = torch.tensor([[True, False], [False, True], [True, False]])
    said = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.0, 1.0]], dtype=torch.float64)
    score = selection_score(said, truth, learned=ALL, exclusive=True)
    assert score["selection_loss"] == pytest.approx(-(math.log(0.9) + math.log(0.6) + math.log(1e-7)) / 3)
    assert score["selection_auroc"] == pytest.approx(0.5)


def test_where_no_label_has_both_classes_the_loss_decides() -> None:
    truth = torch.tensor([[True, False]])
    scores = [
        selection_score(torch.tensor([[p, 1 - p]]).double(), truth, learned=ALL, exclusive=False)
        for p in (0.5, 0.9, 0.7)
    ]
    assert all(math.isnan(score["selection_auroc"]) for score in scores)
    assert best_of(scores) == 1


def test_a_larger_area_wins_then_a_smaller_loss_then_the_first() -> None:
    def score(auroc: float, loss: float) -> dict[str, float]:
        return {"selection_auroc": auroc, "selection_loss": loss}

    low, high, better = score(0.7, 0.1), score(0.8, 0.9), score(0.8, 0.5)
    assert best_of([low, high, better, better]) == 2
    assert best_of([high, high]) == 0
    assert best_of([low, high]) == best_of([high, low]) + 1 == 1
    assert best_of([score(math.nan, 0.0), low]) == 1


def test_the_result_names_a_score_without_its_prefix() -> None:
    assert without_prefix({"selection_auroc": 0.7, "selection_loss": 0.1}) == {"auroc": 0.7, "loss": 0.1}
