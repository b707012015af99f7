"""One feature vector a volume, for probes: from an encoder, or from the voxels alone as a baseline."""

from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from simcrop.core.model.patches import AnyVolume, apply_window
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ops import Window

VOXEL_GRID = (12, 12, 12)
"""Cells along each axis to which the voxel baseline pools a volume."""


class VolumeEncoder(Protocol):
    """An encoder as a probe needs it."""

    def encode(self, volume: AnyVolume, *, normalized: bool) -> Float[Tensor, "B N+1 E"]:
        """Class token and every patch token; before the final norm where `normalized` is False."""
        ...


def mean_patch_token(tokens: Float[Tensor, "B N+1 E"]) -> Float[Tensor, "B E"]:
    """Mean of the patch tokens, the class token (first) left out, float32.

    Args:
        tokens: output of the encoder's last block, before the final norm.

    Source: docs/method.md, section 9, linear probe.
    """
    return tokens[:, 1:].float().mean(1)


@torch.no_grad()
def probe_features(encoder: VolumeEncoder, volume: AnyVolume) -> Float[Tensor, "B E"]:
    """`mean_patch_token` of the whole, unmasked volume in HU, without gradient."""
    return mean_patch_token(encoder.encode(volume, normalized=False))


@torch.no_grad()
def model_features(model: SimCroP, volume: AnyVolume) -> tuple[Float[Tensor, "B E"], Float[Tensor, "B N dim"] | None]:
    """(`probe_features`, `SimCroP.patch_features`) of unmasked volumes by one pass of the encoder.

    The second is None for a model trained without alignment.
    """
    tokens = model.encoder.encode(volume, normalized=False)
    patches = model.patch_features(volume, tokens=model.encoder.norm(tokens)) if model.matches_sentences else None
    return mean_patch_token(tokens), patches


def voxel_features(volume: AnyVolume, window: Window) -> Float[Tensor, "B F"]:
    """The windowed volume averaged over 12 x 12 x 12 cells: what a probe finds without any encoder.

    Args:
        volume: HU.
        window: HU range mapped to [-1, 1], the same that the encoder sees.

    Returns:
        [B, C * 1728] in [-1, 1], float32. Cells overlap by a voxel where 12 does not divide the size.
    """
    return functional.adaptive_avg_pool3d(apply_window(volume, window), VOXEL_GRID).flatten(1)
