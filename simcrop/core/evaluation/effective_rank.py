"""Measure collapse: the effective rank of features, the number of directions that they really use."""

import torch
from jaxtyping import Float
from torch import Tensor

_DECIMALS = 3
"""A rank is rounded, so that the order in which ranks and batches are summed does not show."""


def gram(features: Float[Tensor, "n E"]) -> Float[Tensor, "E E"]:
    """Sum over features of the product with themselves, float64: what batches and ranks can add up."""
    features = features.double()
    return features.T @ features


def effective_rank(total: Float[Tensor, "E E"]) -> float:
    """exp of the entropy of the normalised singular values of features.

    Args:
        total: sum of the `gram` of all of them.

    Returns:
        From 1, where all point the same way, to the smaller of their number and width; NaN where all are zero, or one
        is not finite.

    Source: Roy & Vetterli, "The effective rank", EUSIPCO 2007.
    """
    if not 0 < total.trace().item() < torch.inf:
        return torch.nan
    singular = torch.linalg.eigvalsh(total).clamp(min=0).sqrt()
    shares = singular / singular.sum()
    return round(torch.special.entr(shares).sum().exp().item(), _DECIMALS)
