"""Area under the ROC curve, by ranks, so that ties count one half."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from simcrop.core.errors import InputError


def auroc(scores: Float[Tensor, "n"], positives: Bool[Tensor, "n"]) -> float:
    """Chance that a positive has a higher score than a negative, ties counting one half.

    Args:
        scores: [n], any float type; only their order matters.
        positives: [n], True for the positive class.

    Returns:
        A number in [0, 1], or NaN where one of the classes is absent.

    Raises:
        InputError: the two differ in shape, or a score is NaN.
    """
    if scores.shape != positives.shape or scores.ndim != 1:
        raise InputError(f"positives: expected shape {tuple(scores.shape)}, got {tuple(positives.shape)}")
    if bool(scores.isnan().any()):
        raise InputError("scores: a score is NaN; the model's outputs must be finite")
    positives = positives.bool()
    num_positive = int(positives.sum())
    num_negative = len(positives) - num_positive
    if num_positive == 0 or num_negative == 0:
        return math.nan
    rank_sum = float(_average_ranks(scores)[positives].sum())
    return (rank_sum - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative)


def _average_ranks(scores: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    scores = scores.contiguous()
    ordered = scores.sort().values
    first = torch.searchsorted(ordered, scores, right=False)
    past_last = torch.searchsorted(ordered, scores, right=True)
    return (first + past_last + 1).double() / 2


def mean_present(values: Sequence[float]) -> float:
    """Mean of the values that are not NaN; NaN where none is left."""
    present = [value for value in values if not math.isnan(value)]
    return sum(present) / len(present) if present else math.nan


def column_aurocs(scores: Float[Tensor, "n C"], positives: Bool[Tensor, "n C"]) -> list[float]:
    """`auroc` of each column; NaN for a column with one class only. Their macro average is `mean_present`."""
    return [auroc(scores[:, column], positives[:, column]) for column in range(scores.shape[1])]
