"""ROC curves with bands, all at the same false positive rates, so that they can be averaged over labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Unpack

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from simcrop.core.evaluation.bootstrap import Draws, interval, patient_weights
from simcrop.core.evaluation.classification import Predicted

NUM_RATES = 101


@dataclass(frozen=True, eq=False)
class RocCurve:
    """True positive rates at evenly spaced false positive rates from 0 to 1.

    Attributes:
        rates: [NUM_RATES].
        band: [2, NUM_RATES], lowest and highest at each false positive rate; NaN without a bootstrap.
    """

    rates: Float[Tensor, "rates"]
    band: Float[Tensor, "2 rates"]


def roc_curves(predicted: Predicted, **draws: Unpack[Draws]) -> tuple[list[RocCurve | None], RocCurve | None]:
    """The curve of every label, None where it has none, and their mean, None where no label has one.

    Args:
        predicted: on the test set.
        draws: as for `measure`.
    """
    alone = torch.ones(1, len(predicted.patients), dtype=torch.float64)
    value = _rates(predicted, alone)
    parts = patient_weights(predicted.patients, draws["num_draws"], seed=draws["seed"])
    # Without draws a single one of NaN, so that the bands are NaN.
    drawn = torch.cat([_rates(predicted, part) for part in parts] or [torch.full_like(value, torch.nan)], dim=1)
    confidence = draws["confidence"]
    has_curve = ~value.isnan().any(2)[:, 0]
    curves = [
        RocCurve(value[label, 0], interval(drawn[label], confidence)) if has_curve[label] else None
        for label in range(len(value))
    ]
    if not has_curve.any():
        return curves, None
    mean = RocCurve(value[has_curve].mean(0)[0], interval(drawn[has_curve].nanmean(0), confidence))
    return curves, mean


def _rates(predicted: Predicted, weights: Float[Tensor, "draws n"]) -> Float[Tensor, "C draws rates"]:
    def each() -> Iterator[Tensor]:
        for scores, truth, learned in zip(predicted.scores.T, predicted.truth.T, predicted.learned, strict=True):
            rates = true_positive_rates(scores, truth, weights)
            yield rates if learned else torch.full_like(rates, torch.nan)

    return torch.stack(list(each()))


def true_positive_rates(
    scores: Float[Tensor, "n"], positives: Bool[Tensor, "n"], weights: Float[Tensor, "draws n"]
) -> Float[Tensor, "draws rates"]:
    """The curve in every draw, linear between thresholds; NaN where a class has no weight."""
    order = scores.argsort(descending=True)
    scores, positives, weights = scores[order], positives[order], weights[:, order]
    is_last = torch.cat([scores[1:] != scores[:-1], torch.ones(1, dtype=torch.bool)])
    true, false = (
        torch.nn.functional.pad((weights * side).cumsum(1)[:, is_last], (1, 0)) for side in (positives, ~positives)
    )
    true, false = true / true[:, -1:], (false / false[:, -1:]).contiguous()
    wanted = torch.linspace(0, 1, NUM_RATES, dtype=weights.dtype).expand(len(weights), -1).contiguous()
    # The last threshold that does not exceed the rate: at 0 the top of the first vertical stretch.
    left = (torch.searchsorted(false, wanted, right=True) - 1).clamp(0, false.shape[1] - 2)
    (low, high), (from_, to) = ((side.gather(1, left), side.gather(1, left + 1)) for side in (false, true))
    share = ((wanted - low) / (high - low).where(high > low, 1.0)).clamp(0, 1)
    rates = from_ + share * (to - from_)
    return rates.where(wanted < 1, true[:, -1:])
