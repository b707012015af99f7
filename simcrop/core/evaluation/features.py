"""One feature vector a volume, for probes: from an encoder, or from the voxels alone as a baseline."""

from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from simcrop.core.ops import Window

VOXEL_GRID = (12, 12, 12)
"""Cells along each axis to which the voxel baseline pools a volume."""


class VolumeEncoder(Protocol):
    """What a probe needs of an encoder."""

    def encode(
        self, volume: Int[Tensor, "B C H W D"] | Float[Tensor, "B C H W D"], *, normalized: bool
    ) -> Float[Tensor, "B N+1 E"]:
        """Class token and every patch token; before the final norm where `normalized` is False."""
        ...


def mean_patch_token(tokens: Float[Tensor, "B N+1 E"]) -> Float[Tensor, "B E"]:
    """Mean of the patch tokens, the class token (first) left out, float32.

    Args:
        tokens: output of the encoder's last block, before the final norm.

    Source: METHOD section 9, linear probe.
    """
    return tokens[:, 1:].float().mean(1)


@torch.no_grad()
def probe_features(
    encoder: VolumeEncoder, volume: Int[Tensor, "B C H W D"] | Float[Tensor, "B C H W D"]
) -> Float[Tensor, "B E"]:
    """`mean_patch_token` of the whole, unmasked volume in HU, without gradient."""
    return mean_patch_token(encoder.encode(volume, normalized=False))


def voxel_features(
    volume: Int[Tensor, "B C H W D"] | Float[Tensor, "B C H W D"], window: Window
) -> Float[Tensor, "B F"]:
    """The windowed volume averaged over 12 x 12 x 12 cells: what a probe finds without any encoder.

    Args:
        volume: HU.
        window: HU range mapped to [-1, 1], the same that the encoder sees.

    Returns:
        [B, C * 1728] in [-1, 1], float32. Cells overlap by a voxel where 12 does not divide the size.
    """
    low, high = window
    windowed = ((volume.float() - low) / (high - low) * 2 - 1).clamp(-1, 1)
    return functional.adaptive_avg_pool3d(windowed, VOXEL_GRID).flatten(1)
