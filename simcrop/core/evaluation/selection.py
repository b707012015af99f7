"""Compare settings and steps on the selection patients."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from simcrop.core.evaluation.metrics import column_aurocs, mean_present
from simcrop.core.training.progress import rank

_LEAST_PROBABILITY = 1e-7
SELECTION_ORDER = ("selection_auroc", "-selection_loss")
"""What has the larger area under the curve is better, of equal ones (or without any) what has the smaller loss."""


def selection_score(
    probabilities: Float[Tensor, "n C"], truth: Bool[Tensor, "n C"], *, learned: Bool[Tensor, "C"], exclusive: bool
) -> dict[str, float]:
    """Score the selection patients, by the names that training.jsonl has for it.

    Args:
        probabilities: of each label.
        truth: of the same studies.
        learned: labels that were learned from both classes; the others are not looked at.
        exclusive: every study has one class.

    Returns:
        `selection_auroc`, the mean area under the curve over the labels that the patients can tell (NaN where that is
        none), and `selection_loss`, the mean cross-entropy of their labels.
    """
    auroc = mean_present(column_aurocs(probabilities[:, learned], truth[:, learned]))
    probabilities = probabilities.double().clamp(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    given = probabilities[truth] if exclusive else torch.where(truth, probabilities, 1 - probabilities)[:, learned]
    return {"selection_loss": -given.log().mean().item(), "selection_auroc": auroc}


def best_of(scores: Sequence[Mapping[str, float]]) -> int:
    """Index of the best score; of equal ones the first."""
    return max(range(len(scores)), key=lambda index: rank(scores[index], SELECTION_ORDER))


def without_prefix(score: Mapping[str, float]) -> dict[str, float]:
    """A score by the names that metrics.json has under `chosen`."""
    return {name.removeprefix("selection_"): value for name, value in score.items()}
