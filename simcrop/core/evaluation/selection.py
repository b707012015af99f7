"""How settings and steps are compared on the selection patients."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from simcrop.core.evaluation.metrics import column_aurocs, mean_present

_LEAST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class SelectionScore:
    """Mean area under the curve over the labels that the selection patients can tell (NaN where that is none), and the
    mean cross-entropy of their labels."""

    auroc: float
    loss: float

    def beats(self, other: "SelectionScore") -> bool:
        """Whether it has the larger area, or an equal one (or none) and the smaller loss."""
        return self._key > other._key

    @property
    def _key(self) -> tuple[float, float]:
        return (0.0 if math.isnan(self.auroc) else self.auroc, -self.loss)


def selection_score(
    probabilities: Float[Tensor, "n C"], truth: Bool[Tensor, "n C"], *, learned: Bool[Tensor, "C"], exclusive: bool
) -> SelectionScore:
    """Score predictions of the selection patients.

    Args:
        probabilities: of each label.
        truth: of the same studies.
        learned: labels that were learned from both classes; the others are not looked at.
        exclusive: every study has one class.
    """
    auroc = mean_present(column_aurocs(probabilities[:, learned], truth[:, learned]))
    probabilities = probabilities.double().clamp(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    if exclusive:
        return SelectionScore(auroc, -probabilities[truth].log().mean().item())
    given = torch.where(truth, probabilities, 1 - probabilities)[:, learned]
    return SelectionScore(auroc, -given.log().mean().item())


def best_of(scores: Iterable[SelectionScore]) -> int:
    """Index of the best score; of equal ones the first."""
    listed = list(scores)
    best = 0
    for index, score in enumerate(listed):
        if score.beats(listed[best]):
            best = index
    return best
