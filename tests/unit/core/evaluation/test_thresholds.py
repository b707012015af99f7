"""Thresholds by hand, and against a search over all of them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simcrop.core.evaluation.thresholds import decisions, youden_thresholds

ROWS = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=12)


def test_a_threshold_lies_half_way_between_what_it_divides() -> None:
    probabilities = torch.tensor([[0.1], [0.3], [0.5], [0.9]])
    assert youden_thresholds(probabilities, torch.tensor([[0], [0], [1], [1]]).bool()) == [pytest.approx(0.4)]
    one_off = torch.tensor([[0], [1], [0], [1]]).bool()  # 0.2: 1 + 1/2; 0.7: 1/2 + 1
    assert youden_thresholds(probabilities.double(), one_off) == [pytest.approx(0.2)]


def test_what_cannot_be_told_has_no_threshold() -> None:
    probabilities = torch.tensor([[0.1, 0.1, 0.5, 0.9], [0.3, 0.3, 0.5, 0.1]])
    truth = torch.tensor([[0, 1, 0, 0], [0, 1, 1, 1]]).bool()
    assert all(map(math.isnan, youden_thresholds(probabilities, truth)))


@given(ROWS)
def test_no_other_threshold_is_better(rows: list[tuple[int, bool]]) -> None:
    probabilities = torch.tensor([[number / 10] for number, _ in rows], dtype=torch.float64)
    truth = torch.tensor([[present] for _, present in rows])
    (found,) = youden_thresholds(probabilities, truth)

    def index(threshold: float) -> float:
        said = probabilities >= threshold
        return said[truth].double().mean().item() + (~said)[~truth].double().mean().item()

    if math.isnan(found):
        assert truth.all() or not truth.any() or all(index(number / 20 + 0.001) <= 1 for number in range(20))
    else:
        assert all(index(found) >= index(number / 20 + 0.001) - 1e-12 for number in range(20))


def test_decisions_are_taken_at_the_threshold_and_above() -> None:
    thresholds = torch.tensor([0.5, math.nan])
    said = decisions(torch.tensor([[0.5, 0.9], [0.4, 0.1]]), thresholds)
    assert said[:, 0].tolist() == [1.0, 0.0]
    assert said[:, 1].isnan().all()
