"""Overlap of predicted organs with the true ones, and its means over studies and classes."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def dice_of_classes(
    predicted: UInt8[Tensor, "*shape"], truth: UInt8[Tensor, "*shape"], num_classes: int
) -> Float[Tensor, "C"]:
    """Dice coefficient of each class but the background: twice what both have in common over what they have in all.

    Args:
        predicted: class of each voxel, 0 for the background.
        truth: the same.
        num_classes: C, classes without the background.

    Returns:
        [C] in [0, 1], float64; NaN for a class that is not in the truth.
    """
    found = torch.full((num_classes,), torch.nan, dtype=torch.float64)
    for index in range(num_classes):
        ours, wanted = predicted == index + 1, truth == index + 1
        size = int(wanted.sum())
        if size:
            found[index] = 2 * int((ours & wanted).sum()) / (int(ours.sum()) + size)
    return found


def weighted_means(scores: Float[Tensor, "n C"], weights: Float[Tensor, "draws n"]) -> Float[Tensor, "draws C+1"]:
    """Mean of each class over the studies that have a score of it, then the mean over the classes.

    Args:
        scores: of studies and classes; NaN where there is none.
        weights: how often each study counts in each draw; a single row of ones gives the plain means.

    Returns:
        The classes, and last their mean over those that have any; NaN where nothing is left.
    """
    has_score = ~scores.isnan()
    classes = (weights @ scores.nan_to_num()) / (weights @ has_score.to(weights.dtype))
    return torch.cat([classes, classes.nanmean(1, keepdim=True)], dim=1)
