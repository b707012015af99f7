"""Nearest neighbours: what the most similar labelled studies have (cosine similarity, weighted vote)."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

_QUERIES_AT_ONCE = 256


def standardize(known: Float[Tensor, "n F"], *others: Float[Tensor, "m F"]) -> list[Tensor]:
    """Every table in units of the first one's spread around its mean, float32; a constant feature becomes 0 there."""
    mean, spread = known.double().mean(0), known.double().std(0, correction=0)
    spread = spread.where(spread > 0, 1.0)
    return [((table.double() - mean) / spread).float() for table in (known, *others)]


def neighbour_votes(
    queries: Float[Tensor, "m F"],
    known: Float[Tensor, "n F"],
    truth: Bool[Tensor, "n C"],
    counts: Sequence[int],
    *,
    temperature: float,
) -> Float[Tensor, "counts m C"]:
    """Share of the neighbours' votes that each label gets, for several numbers of neighbours.

    Args:
        queries: features to classify.
        known: features of the labelled studies.
        truth: their labels.
        counts: numbers of neighbours, each at most n.
        temperature: a vote weighs exp(cosine / temperature).

    Returns:
        [counts, m, C] in [0, 1], float64.
    """
    known = functional.normalize(known, dim=1)
    at = torch.tensor([count - 1 for count in counts])
    parts: list[Tensor] = []
    for part in functional.normalize(queries, dim=1).split(_QUERIES_AT_ONCE):
        nearest = (part @ known.T).topk(max(counts), dim=1)
        weights = (nearest.values.double() / temperature).softmax(1)
        votes = (weights[..., None] * truth[nearest.indices]).cumsum(1)
        parts.append((votes[:, at] / weights.cumsum(1)[:, at, None]).clamp(0, 1))
    return torch.cat(parts).transpose(0, 1)
