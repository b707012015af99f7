"""Overlap of predicted organs with the true ones, and its means over studies and classes."""

import torch
from jaxtyping import Bool, Float, UInt8
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
    scores = [_dice(predicted == number, truth == number) for number in range(1, num_classes + 1)]
    return torch.tensor(scores, dtype=torch.float64)


def dice_of_background(predicted: UInt8[Tensor, "*shape"], truth: UInt8[Tensor, "*shape"]) -> float:
    """The same of the voxels of none of the classes; NaN where the truth has no such voxel."""
    return _dice(predicted == 0, truth == 0)


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


def _dice(ours: Bool[Tensor, "*shape"], wanted: Bool[Tensor, "*shape"]) -> float:
    size = int(wanted.sum())
    return 2 * int((ours & wanted).sum()) / (int(ours.sum()) + size) if size else torch.nan
