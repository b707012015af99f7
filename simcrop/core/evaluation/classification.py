"""Metrics of scores that tell findings or classes, each with an interval (docs/method.md, section 9).

Every metric is computed from weights of the studies: all 1 for its value, how often a bootstrap draw took each for its
interval. Where a ratio has nothing below (no predicted positive, no positive) it is 0, as with zero_division=0 in
scikit-learn; an area under the curve without both classes is NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Unpack

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.core.evaluation.bootstrap import Draws, Estimate, estimates, patient_weights
from simcrop.core.evaluation.metrics import weighted_auroc

Metrics = tuple[dict[str, Float[Tensor, "draws"]], dict[str, Float[Tensor, "draws C"]]]
"""The metrics over all labels and of each label, in every draw."""
THRESHOLD = 0.5
"""Score from which on a finding counts as present."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """Truth of the test studies, and the scores that they were given.

    Attributes:
        scores: [n, C] probabilities.
        truth: [n, C].
        patients: of each study.
        exclusive: a study has exactly one of the C classes, and scores sum to 1.
        learned: [C], False where what was learned from had one class only, so that nothing can be said. Such a finding
            has no metric; such a class has no area under the curve, and its studies count as errors.
        thresholds: [C], scores from which on a finding counts as present; None for `THRESHOLD`.
    """

    scores: Float[Tensor, "n C"]
    truth: Bool[Tensor, "n C"]
    patients: Sequence[str]
    exclusive: bool
    learned: Bool[Tensor, "C"]
    thresholds: Float[Tensor, "C"] | None = None

    def __post_init__(self) -> None:
        if self.scores.shape != self.truth.shape or len(self.patients) != len(self.truth):
            raise InputError(f"truth: expected shape {tuple(self.scores.shape)}, got {tuple(self.truth.shape)}")
        if bool(self.scores.isnan().any()):
            raise InputError("scores: a score is NaN; the model's outputs must be finite")

    @property
    def positive(self) -> Bool[Tensor, "n C"]:
        """Where a finding is called present: the best class, or every score that reaches the threshold."""
        if not self.exclusive:
            return self.scores >= (THRESHOLD if self.thresholds is None else self.thresholds)
        return torch.nn.functional.one_hot(self.scores.argmax(1), self.scores.shape[1]).bool()

    def at(self, thresholds: Sequence[float]) -> "Predicted":
        """The same findings called present by other thresholds; one without a threshold, NaN, counts nowhere."""
        chosen = torch.tensor(thresholds, dtype=torch.float64)
        return replace(self, thresholds=chosen, learned=self.learned & ~chosen.isnan())


@dataclass(frozen=True)
class Measurement:
    """Metrics over all labels, by name, and of each label, by name and in the order of the labels."""

    overall: dict[str, Estimate]
    by_label: dict[str, list[Estimate]]


def measure(predicted: Predicted, *, ranks: bool = True, **draws: Unpack[Draws]) -> Measurement:
    """All metrics with percentile intervals over patients.

    Returns:
        Over all: `auroc` (mean over labels), `accuracy`, `f1_macro`, `f1_weighted`, and for findings `f1_micro`,
        `precision_micro`, and the means over them `precision_macro`, `recall_macro`, `specificity_macro`; accuracy is
        the share of right answers, counting every finding of every study. Of each label: `auroc`, `f1`, `precision`,
        `recall`, `specificity`, `accuracy`, and of a finding `f1_weighted`: the F1 of those that have it and of those
        that have it not, each weighted by their number, as scikit-learn's average "weighted" has it. Over exclusive
        classes `f1_weighted` weights the F1 of each class by its studies.

    Args:
        predicted: on the test set.
        ranks: False leaves out `auroc`, which no threshold changes.
        draws: behind the intervals.
    """
    metrics = metrics_of if ranks else _decided
    overall, by_label = metrics(predicted, torch.ones(1, len(predicted.patients), dtype=torch.float64))
    parts, confidence = patient_weights(predicted.patients, draws["num_draws"], seed=draws["seed"]), draws["confidence"]
    drawn = [metrics(predicted, part) for part in parts]
    return Measurement(
        {name: estimates(value, [over[name] for over, _ in drawn], confidence)[0] for name, value in overall.items()},
        {name: estimates(value[0], [each[name] for _, each in drawn], confidence) for name, value in by_label.items()},
    )


def metrics_of(predicted: Predicted, weights: Float[Tensor, "draws n"]) -> Metrics:
    """The metrics over all labels and of each label, in every draw; `measure` says which.

    Args:
        predicted: the studies.
        weights: float64, how much each study counts in each draw.
    """
    columns = zip(predicted.scores.T, predicted.truth.T, strict=True)
    auroc = torch.stack([weighted_auroc(scores, each, weights) for scores, each in columns], dim=1)
    auroc = auroc.where(predicted.learned, torch.nan)
    overall, by_label = _decided(predicted, weights)
    return {"auroc": auroc.nanmean(1)} | overall, {"auroc": auroc} | by_label


def _decided(predicted: Predicted, weights: Float[Tensor, "draws n"]) -> Metrics:
    """Those that decisions have."""
    truth, positive, learned = predicted.truth, predicted.positive, predicted.learned
    hits, called, present = (weights @ table.double() for table in (truth & positive, positive, truth))
    total = weights.sum(1)
    absent = total[:, None] - present
    rejected = absent - called + hits
    by_label = {
        "accuracy": (hits + rejected) / total[:, None],
        "f1": _ratio(2 * hits, called + present),
        "precision": _ratio(hits, called),
        "recall": _ratio(hits, present),
        "specificity": _ratio(rejected, absent),
    }
    if predicted.exclusive:
        f1 = by_label["f1"]
        weighted = (f1 * present).sum(1) / total
        return {"accuracy": hits.sum(1) / total, "f1_macro": f1.mean(1), "f1_weighted": weighted}, by_label
    f1_absent = _ratio(2 * rejected, total[:, None] - called + absent)
    by_label["f1_weighted"] = (present * by_label["f1"] + absent * f1_absent) / total[:, None]
    sums = [table[:, learned].sum(1) for table in (hits, called, present)]
    means = {name: by_label[name][:, learned].mean(1) for name in by_label}
    overall = {
        "accuracy": means["accuracy"],
        "f1_macro": means["f1"],
        "f1_micro": _ratio(2 * sums[0], sums[1] + sums[2]),
        "precision_micro": _ratio(sums[0], sums[1]),
        "f1_weighted": means["f1_weighted"],
        **{f"{name}_macro": means[name] for name in ("precision", "recall", "specificity")},
    }
    return overall, {name: value.where(learned, torch.nan) for name, value in by_label.items()}


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    return above / below.where(below > 0, 1.0)
