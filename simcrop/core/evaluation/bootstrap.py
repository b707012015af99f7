"""Confidence intervals by drawing patients again and again, since studies of one patient are not independent."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.core.randomness import generator

VALUES_AT_ONCE = 1 << 22
"""Weights that are in memory at a time: 32 MB."""


def patient_weights(
    patients: Sequence[str], num_draws: int, *, seed: int, values_at_once: int = VALUES_AT_ONCE
) -> Iterator[Float[Tensor, "draws n"]]:
    """Count how often each study is in each draw of as many patients as there are, with replacement.

    Args:
        patients: patient of each of the n studies.
        num_draws: in all; they come in parts.
        seed: of the draws.
        values_at_once: weights of a part, at most.

    Yields:
        float64; every study of a patient has the same weight.
    """
    numbers = {patient: number for number, patient in enumerate(dict.fromkeys(patients))}
    patient_of = torch.tensor([numbers[patient] for patient in patients])
    draws = generator("bootstrap", seed)
    part = max(1, values_at_once // max(1, len(patients)))
    for first in range(0, num_draws, part):
        size = min(part, num_draws - first)
        taken = torch.randint(len(numbers), (size, len(numbers)), generator=draws)
        times = torch.zeros(size, len(numbers), dtype=torch.float64)
        yield times.scatter_add_(1, taken, torch.ones_like(times))[:, patient_of]


def interval(values: Float[Tensor, "draws *shape"], confidence: float) -> Float[Tensor, "2 *shape"]:
    """Percentile interval over the draws: (low, high); NaN where no draw has a value.

    Args:
        values: a statistic in each draw; draws in which it does not exist are NaN and left out.
        confidence: share of such intervals that hold the true value, in (0, 1).
    """
    ends = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=values.dtype)
    return torch.nanquantile(values, ends, dim=0)


class Draws(TypedDict):
    """Draws behind intervals: their number, 0 leaving the intervals NaN, the intervals' confidence, and the seed."""

    num_draws: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; NaN for what cannot be measured."""

    value: float
    low: float
    high: float


def estimates(
    values: Float[Tensor, "m"], draws: Sequence[Float[Tensor, "draws *m"]], confidence: float
) -> list[Estimate]:
    """Values with their percentile intervals, which are NaN without draws.

    Args:
        values: of all studies.
        draws: the same in each draw, in parts.
        confidence: as for `interval`.
    """
    ends = torch.full((2, len(values)), torch.nan, dtype=values.dtype)
    if draws:
        ends = interval(torch.cat([part.reshape(-1, len(values)) for part in draws]), confidence)
    # What cannot be measured has no interval either, though draws may happen to leave out what spoils it.
    low, high = ends.where(~values.isnan(), torch.nan).tolist()
    return [Estimate(*numbers) for numbers in zip(values.tolist(), low, high, strict=True)]


def estimated(
    statistic: Callable[[Float[Tensor, "draws n"]], Float[Tensor, "draws *m"]],
    patients: Sequence[str],
    **draws: Unpack[Draws],
) -> list[Estimate]:
    """Compute a statistic of the studies, with its percentile intervals over patients.

    Args:
        statistic: of how often each study counts in each draw.
        patients: patient of each study.
        draws: behind the intervals.
    """
    alone = statistic(torch.ones(1, len(patients), dtype=torch.float64)).flatten()
    parts = patient_weights(patients, draws["num_draws"], seed=draws["seed"])
    return estimates(alone, [statistic(part) for part in parts], draws["confidence"])
