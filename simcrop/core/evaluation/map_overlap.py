"""Overlap of a similarity map, cut at a threshold, with the place that a sentence speaks of.

Every number stands beside that of marking the whole volume, which no map that knows nothing of the place exceeds on
average.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from simcrop.core.errors import InputError
from simcrop.core.ops import PatchSize


def voxel_map(
    similarity: Float[Tensor, "N"], grid: tuple[int, int, int], patch_size: PatchSize
) -> Float[Tensor, "H W D"]:
    """A map of patches on the voxels of the model's volume, trilinear between the centres of patches.

    Args:
        similarity: in patch order.
        grid: patches along each axis.
        patch_size: voxels of a patch; beyond the outermost centres the values of these go on.
    """
    h, w, d = (cells * patch for cells, patch in zip(grid, patch_size, strict=True))
    cells = similarity.reshape(1, 1, *grid)
    return functional.interpolate(cells, size=(h, w, d), mode="trilinear", align_corners=False)[0, 0]


@dataclass(frozen=True, eq=False)
class Overlap:
    """One map against its mask.

    Attributes:
        iou: at every threshold, in [0, 1].
        dice: at every threshold, in [0, 1].
        iou_whole, dice_whole: of the whole volume, in (0, 1].
    """

    iou: Float[Tensor, "T"]
    dice: Float[Tensor, "T"]
    iou_whole: float
    dice_whole: float


def overlap(similarity: Float[Tensor, "*size"], mask: Bool[Tensor, "*size"], thresholds: Float[Tensor, "T"]) -> Overlap:
    """Compare a map with a mask; a voxel is marked where its value reaches the threshold.

    Args:
        similarity: on the voxels of the mask.
        mask: True inside, somewhere.
        thresholds: ascending.

    Returns:
        float64, on the CPU.

    Raises:
        InputError: shapes that differ, or a mask with nothing inside.
    """
    if similarity.shape != mask.shape or not bool(mask.any()):
        raise InputError(f"mask: expected one of shape {tuple(similarity.shape)} with something inside")
    reached = torch.bucketize(similarity.flatten(), thresholds.to(similarity), right=True)  # thresholds not above it
    marked, hits = (_at_least(values, len(thresholds)) for values in (reached, reached[mask.flatten()]))
    inside, total = int(mask.sum()), mask.numel()
    return Overlap(
        iou=hits / (marked + inside - hits),
        dice=2 * hits / (marked + inside),
        iou_whole=inside / total,
        dice_whole=2 * inside / (total + inside),
    )


def _at_least(reached: Tensor, num_thresholds: int) -> Float[Tensor, "T"]:
    """Number of voxels that reach each threshold."""
    counts = reached.bincount(minlength=num_thresholds + 1)
    return counts.flip(0).cumsum(0).flip(0)[1:].double().cpu()


@dataclass(frozen=True)
class AtThreshold:
    """One map cut at a threshold that was chosen for its finding; NaN where none could be."""

    threshold: float
    iou: float
    dice: float


def at_own_best(overlaps: Sequence[Overlap], thresholds: Float[Tensor, "T"]) -> list[AtThreshold]:
    """Every map at the threshold whose mean Dice over these same maps is highest: it has seen what it is measured on.

    Args:
        overlaps: of one finding, at least one.
        thresholds: that they were measured at; of equally good ones the lowest is taken.
    """
    best = _best(overlaps)
    return [_cut(each, best, thresholds) for each in overlaps]


def at_others_best(
    overlaps: Sequence[Overlap], thresholds: Float[Tensor, "T"], halves: Sequence[Hashable]
) -> list[AtThreshold]:
    """Every map at the threshold whose mean Dice over the maps of the other half is highest.

    Args:
        overlaps: of one finding.
        thresholds: that they were measured at.
        halves: which half each belongs to; all maps of a patient are in one.

    Returns:
        In the order given; NaN for all where one half has none.
    """
    best = {
        half: _best([each for each, other in zip(overlaps, halves, strict=True) if other != half])
        for half in set(halves)
    }
    return [_cut(each, best[half], thresholds) for each, half in zip(overlaps, halves, strict=True)]


def _best(overlaps: Sequence[Overlap]) -> int | None:
    return int(torch.stack([each.dice for each in overlaps]).mean(0).argmax()) if overlaps else None


def _cut(each: Overlap, index: int | None, thresholds: Float[Tensor, "T"]) -> AtThreshold:
    if index is None:
        return AtThreshold(math.nan, math.nan, math.nan)
    return AtThreshold(float(thresholds[index]), float(each.iou[index]), float(each.dice[index]))
