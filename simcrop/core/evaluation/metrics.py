"""Area under the ROC curve, ties counting one half."""

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
    alone = torch.ones(1, len(scores), dtype=torch.float64, device=scores.device)
    return float(weighted_auroc(scores, positives.bool(), alone))


def weighted_auroc(
    scores: Float[Tensor, "n"], positives: Bool[Tensor, "n"], weights: Float[Tensor, "draws n"]
) -> Float[Tensor, "draws"]:
    """`auroc` of the same scores under several weights of the studies; NaN where a class has no weight."""
    order = scores.argsort()
    scores, positives, weights = scores[order].contiguous(), positives[order], weights[:, order]
    negatives = torch.nn.functional.pad((weights * ~positives).cumsum(1), (1, 0))
    scores_of_positives = scores[positives]
    below = negatives[:, torch.searchsorted(scores, scores_of_positives, right=False)]
    not_above = negatives[:, torch.searchsorted(scores, scores_of_positives, right=True)]
    weight = weights[:, positives]
    return (weight * (below + not_above)).sum(1) / (2 * weight.sum(1) * negatives[:, -1])


def mean_present(values: Sequence[float]) -> float:
    """Mean of the values that are not NaN; NaN where none is left."""
    present = [value for value in values if not math.isnan(value)]
    return sum(present) / len(present) if present else math.nan


def column_aurocs(scores: Float[Tensor, "n C"], positives: Bool[Tensor, "n C"]) -> list[float]:
    """`auroc` of each column; NaN for a column with one class only. Their macro average is `mean_present`."""
    return [auroc(scores[:, column], positives[:, column]) for column in range(scores.shape[1])]
