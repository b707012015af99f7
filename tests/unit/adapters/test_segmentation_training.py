"""When fine-tuning is over, and which step's weights are kept. That a resumed one is the same: tests/e2e."""

import math
from typing import cast

import pytest
import torch
from torch import nn

pytest.importorskip("monai", reason="MONAI is not installed")

from simcrop.adapters.evaluation_config import SegmentSettings
from simcrop.adapters.monai_unetr import UNETR
from simcrop.adapters.segmentation_training import FineTuning

SETTINGS = SegmentSettings(steps=100, patience=2)


class OneWeight(nn.Module):
    """A network whose weight is the number of the step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


def after(*scores: float) -> FineTuning:
    reached, network = FineTuning(), OneWeight()
    for step, score in enumerate(scores, 1):
        reached.step = step
        with torch.no_grad():
            network.weight.fill_(step)
        reached.add_score(score, cast(UNETR, network))
    return reached


@pytest.mark.parametrize(
    ("scores", "best", "is_over"),
    [
        ((), None, False),
        ((0.3,), 1, False),
        ((0.3, 0.2), 1, False),
        ((0.3, 0.2, 0.1), 1, True),
        ((0.3, 0.2, 0.4), 3, False),
        ((0.3, 0.3, 0.3), 1, True),
        ((math.nan, 0.0), 2, False),
        ((0.2, math.nan, 0.3, 0.1), 3, False),
        ((math.nan, math.nan, math.nan), 1, True),
    ],
)
def test_the_first_best_step_is_kept_and_patience_ends(
    scores: tuple[float, ...], best: int | None, is_over: bool
) -> None:
    reached = after(*scores)
    assert reached.is_over(SETTINGS) is is_over
    if best is not None:
        assert reached.best_step == best
        assert reached.best["weight"].item() == best


def test_the_last_step_ends_it() -> None:
    reached = after(0.1)
    reached.step = 100
    assert reached.is_over(SETTINGS)
