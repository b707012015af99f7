"""Progress of a training: steps made, the best of them, and the patience that is left."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from simcrop.core.ports import State
from simcrop.core.recipe import Optimisation

_OLD_NAMES: dict[str, str] = {"auroc": "selection_auroc", "loss": "selection_loss"}


@dataclass(frozen=True)
class Progress:
    """State of a training.

    Attributes:
        step: updates made.
        best_step: the one after which the score was best, the first of equals; 0 before any.
        best: that score.
        num_worse: scores since.
        weights: what was trained, as it was then, where it is to be put back.
    """

    step: int = 0
    best_step: int = 0
    best: Mapping[str, float] | None = None
    num_worse: int = 0
    weights: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    def is_finished(self, settings: Optimisation) -> bool:
        """Whether all steps are made, or patience is at its end."""
        return self.step >= settings.steps or (settings.patience is not None and self.num_worse >= settings.patience)

    def scored(self, score: Mapping[str, float], best_by: tuple[str, ...]) -> "Progress":
        """The progress after a score of this step; without one it stays."""
        if not score:
            return self
        if self.best is not None and rank(score, best_by) <= rank(self.best, best_by):
            return replace(self, num_worse=self.num_worse + 1)
        return replace(self, best_step=self.step, best=dict(score), num_worse=0)

    def state(self) -> State:
        """For a checkpoint, beside its number of the step."""
        best = None if self.best is None else dict(self.best)
        weights = dict(self.weights)
        return {"best_step": self.best_step, "best": best, "num_worse": self.num_worse, "weights": weights}

    @classmethod
    def of(cls, step: int, state: Mapping[str, Any]) -> "Progress":
        """Read what `state` has written.

        Before 0.2 a pre-training kept its lowest held-out loss alone, and a fit named its scores without `selection_`.
        """
        if "best_validation_loss" in state:
            loss = state["best_validation_loss"]
            return cls(step, best=None if loss is None else {"validation_loss": loss})
        found: Mapping[str, float] = state["best"] or {}
        best = {_OLD_NAMES.get(key, key): value for key, value in found.items()}
        return cls(step, state["best_step"], best or None, state["num_worse"], state["weights"])


def rank(score: Mapping[str, float], best_by: tuple[str, ...]) -> tuple[float, ...]:
    """Key that scores are compared by: larger is better; NaN is worse than any number."""
    values = [-score[name[1:]] if name.startswith("-") else score[name] for name in best_by]
    return tuple(-math.inf if math.isnan(value) else value for value in values)


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """Copies of what is trained, on the CPU."""
    named = model.named_parameters()
    return {name: parameter.detach().cpu().clone() for name, parameter in named if parameter.requires_grad}
