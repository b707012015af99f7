"""Dice of classes, and means of it over studies and classes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("monai", reason="MONAI is not installed")

from monai import metrics as monai_metrics

from simcrop.core.evaluation.overlap import dice_of_background, dice_of_classes, weighted_means


def test_dice_by_hand() -> None:
    truth = torch.tensor([1, 1, 1, 1, 2, 2, 0, 0], dtype=torch.uint8)
    predicted = torch.tensor([1, 1, 0, 2, 2, 0, 3, 1], dtype=torch.uint8)
    dice = dice_of_classes(predicted, truth, 4)
    assert dice[:2].tolist() == [2 * 2 / (3 + 4), 2 * 1 / (2 + 2)]
    assert dice[2:].isnan().all(), "classes that are not in the truth have no score"
    assert dice_of_background(predicted, truth) == 0
    assert dice_of_background(predicted, torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])) == 2 * 1 / (2 + 3)
    assert math.isnan(dice_of_background(predicted, torch.ones_like(truth)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_dice_is_monais(seed: int, num_classes: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    truth, predicted = (
        torch.randint(0, num_classes + 1, (5, 4, 3), generator=draws, dtype=torch.uint8) for _ in range(2)
    )
    if seed % 3 == 0:
        truth[truth == num_classes] = 0
    theirs = monai_metrics.compute_dice(
        *(
            torch.nn.functional.one_hot(each.long(), num_classes + 1).movedim(-1, 0)[None]
            for each in (predicted, truth)
        ),
        include_background=False,
    )[0]
    torch.testing.assert_close(dice_of_classes(predicted, truth, num_classes), theirs.double(), equal_nan=True)


def test_means_leave_out_what_is_not_there_and_weigh_classes_alike() -> None:
    scores = torch.tensor([[0.5, math.nan, math.nan], [0.7, 0.2, math.nan], [0.9, 0.4, math.nan]], dtype=torch.float64)
    weights = torch.tensor([[1.0, 1.0, 1.0], [3.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    expected = [
        [0.7, 0.3, math.nan, 0.5],
        [0.6, 0.4, math.nan, 0.5],
        [0.5, math.nan, math.nan, 0.5],
    ]
    torch.testing.assert_close(
        weighted_means(scores, weights), torch.tensor(expected, dtype=torch.float64), equal_nan=True
    )
