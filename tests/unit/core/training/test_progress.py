"""The best step, the end of patience, and what a checkpoint keeps of both."""

import math

import pytest
import torch
from torch import nn

from simcrop.core.evaluation.selection import SELECTION_ORDER
from simcrop.core.recipe import Optimisation
from simcrop.core.training.progress import Progress, rank, trained_weights

SETTINGS = Optimisation(steps=100, patience=2)


def after(*scores: float) -> Progress:
    progress = Progress()
    for step, score in enumerate(scores, 1):
        progress = Progress(step, progress.best_step, progress.best, progress.num_worse).scored(
            {"dice": score}, ("dice",)
        )
    return progress


@pytest.mark.parametrize(
    ("scores", "best", "is_finished"),
    [
        ((), 0, False),
        ((0.3,), 1, False),
        ((0.3, 0.2), 1, False),
        ((0.3, 0.2, 0.1), 1, True),
        ((0.3, 0.2, 0.4), 3, False),
        ((0.3, 0.3, 0.3), 1, True),
        ((math.nan, 0.0), 2, False),
        ((0.2, math.nan, 0.3, 0.1), 3, False),
        ((0.2, math.nan, 0.1), 1, True),
        ((math.nan, math.nan, math.nan), 1, True),
    ],
)
def test_the_first_best_step_counts_and_patience_ends(scores: tuple[float, ...], best: int, is_finished: bool) -> None:
    progress = after(*scores)
    assert progress.is_finished(SETTINGS) is is_finished
    assert progress.best_step == best
    assert not progress.is_finished(Optimisation(steps=100)), "without patience all steps are made"


def test_the_last_step_ends_it() -> None:
    assert Progress(100).is_finished(SETTINGS)
    assert not Progress(99).is_finished(SETTINGS)


def test_a_step_without_a_score_changes_nothing() -> None:
    assert after(0.3, 0.2).scored({}, ("dice",)) == after(0.3, 0.2)


def test_scores_are_compared_number_by_number() -> None:
    def order(auroc: float, loss: float) -> tuple[float, ...]:
        return rank({"selection_loss": loss, "selection_auroc": auroc}, SELECTION_ORDER)

    assert order(0.8, 0.9) > order(0.7, 0.1)
    assert order(0.8, 0.1) > order(0.8, 0.9)
    assert order(math.nan, 0.1) > order(math.nan, 0.9)


def test_its_state_comes_back_and_that_of_older_versions_too() -> None:
    progress = Progress(9, 3, {"selection_auroc": 0.5, "selection_loss": math.nan}, 2, {"w": torch.ones(2)})
    again = Progress.of(9, progress.state())
    assert (again.best_step, again.num_worse, list(again.weights)) == (3, 2, ["w"])
    assert again.best == progress.best
    assert Progress.of(0, Progress().state()) == Progress()
    assert Progress.of(25, {"best_validation_loss": 1.5, "optimizer": {}}).best == {"validation_loss": 1.5}
    assert Progress.of(25, {"best_validation_loss": None, "optimizer": {}}).best is None
    fit = {"best_step": 4, "best": {"auroc": 0.5, "loss": 0.25}, "weights": {}, "num_worse": 1, "optimizer": {}}
    assert Progress.of(8, fit) == Progress(8, 4, {"selection_auroc": 0.5, "selection_loss": 0.25}, 1)


def test_copies_are_kept_of_what_is_trained_alone() -> None:
    model = nn.Linear(2, 1)
    model.bias.requires_grad_(False)
    kept = trained_weights(model)
    assert list(kept) == ["weight"]
    with torch.no_grad():
        model.weight += 1
    assert not torch.equal(kept["weight"], model.weight)
