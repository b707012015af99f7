"""Thresholds that turn probabilities into decisions, chosen on patients that are neither learned from nor tested on."""

import math

from jaxtyping import Bool, Float
from torch import Tensor


def youden_thresholds(probabilities: Float[Tensor, "n C"], truth: Bool[Tensor, "n C"]) -> list[float]:
    """Choose for every finding where sensitivity plus specificity is highest (Youden's J).

    Args:
        probabilities: of each finding.
        truth: of the same studies.

    Returns:
        [C], each half-way between two probabilities that occur; of equally good ones the lowest. A finding is called
        present at its threshold and above. NaN where the studies have one class only, or where no threshold is better
        than calling all of them alike.

    Source: Youden, Index for rating diagnostic tests, Cancer 3 (1950).
    """
    columns = zip(probabilities.double().T, truth.T, strict=True)
    return [_threshold(column, present) for column, present in columns]


def _threshold(probabilities: Float[Tensor, "n"], present: Bool[Tensor, "n"]) -> float:
    values = probabilities.unique()
    if len(values) < 2 or present.all() or not present.any():
        return math.nan
    cuts = (values[1:] + values[:-1]) / 2
    above = probabilities[None] >= cuts[:, None]
    sensitivity = above[:, present].double().mean(1)
    specificity = 1 - above[:, ~present].double().mean(1)
    best = (sensitivity + specificity).max(0)
    return float(cuts[best.indices]) if best.values > 1 else math.nan


def decisions(probabilities: Float[Tensor, "n C"], thresholds: Float[Tensor, "C"]) -> Float[Tensor, "n C"]:
    """1 where a finding is called present, 0 where it is not, NaN where it has no threshold."""
    return (probabilities >= thresholds).to(probabilities.dtype).where(~thresholds.isnan(), math.nan)
