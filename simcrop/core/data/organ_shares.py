"""Shares of organs in patches: from the classes of the voxels of a box, as they are kept, to what a patch holds.

Which classes a voxel belongs to is one int16 number, in which bit c stands for class c: organs may overlap, as a vessel
in the heart does, and the voxels are cut and kept as those of volumes are.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int16, Int64
from torch import Tensor

from simcrop.core.data.augment import Augmentation, place_box, resamples
from simcrop.core.model.patches import patch_rows
from simcrop.core.ops import PatchSize


def class_bits(masks: Bool[Tensor, "C H W D"]) -> Int16[Tensor, "H W D"]:
    """The classes of every voxel as bits."""
    bits = torch.zeros(masks.shape[1:], dtype=torch.int16)
    for number, mask in enumerate(masks):
        bits |= mask.to(torch.int16) << number
    return bits


def shares_in_patches(
    bits: Int16[Tensor, "h w d"],
    known: Sequence[bool],
    augmentation: Augmentation,
    ids: Int64[Tensor, "L"],
    patch_size: PatchSize,
) -> Float[Tensor, "L C"]:
    """Share of each patch's voxels that belong to each class.

    Args:
        bits: the classes of the voxels of a box, cut as the volume's is.
        known: whether anything is known of a class.
        augmentation: what the box has still to undergo: its voxels take the same places as those of the volume, and
            where that is resampled, so is each class, to shares of voxels.
        ids: patches that are wanted.
        patch_size: voxels of a patch.

    Returns:
        Shares in [0, 1]; NaN for classes of which nothing is known.
    """

    def rows(box: Tensor) -> Float[Tensor, "L P"]:
        return patch_rows(place_box(box, augmentation)[None, None], ids[None], patch_size)[0]

    shares = torch.full((len(ids), len(known)), torch.nan)
    wanted = [number for number, is_known in enumerate(known) if is_known]
    if resamples(augmentation):
        for number in wanted:
            shares[:, number] = rows(_has_bit(bits, number)).mean(1)
    elif wanted:
        # Moving voxels changes none of their classes, so all are moved at a time, and only the wanted patches are read.
        moved = rows(bits)
        for number in wanted:
            shares[:, number] = _has_bit(moved, number).mean(1)
    return shares


def _has_bit(bits: Int16[Tensor, "*n"], number: int) -> Float[Tensor, "*n"]:
    return ((bits >> number) & 1).float()
