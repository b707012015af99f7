"""Patches of a volume: their order, their values, their window (docs/method.md, section 2, item 1).

Token index = (h * gW + w) * gD + d; values inside a patch in (channel, p, q, r) order, which is
`weight.reshape(E, -1)` of a Conv3d whose kernel equals its stride.
"""

from functools import cache

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.core.ops import PatchSize, Window

_AIR_BELOW = -0.95

AnyVolume = Int[Tensor, "B C H W D"] | Float[Tensor, "B C H W D"]


def patch_grid(volume_size: tuple[int, int, int], patch_size: PatchSize) -> tuple[int, int, int]:
    """Patches along each axis. Raises InputError if the volume is not divisible by the patch."""
    for axis, (size, patch) in enumerate(zip(volume_size, patch_size, strict=True)):
        if patch < 1 or size % patch:
            raise InputError(f"volume: {size} voxels on axis {axis} are not divisible by patch_size {patch}")
    gh, gw, gd = (size // patch for size, patch in zip(volume_size, patch_size, strict=True))
    return gh, gw, gd


def patch_view(volume: AnyVolume, patch_size: PatchSize) -> Tensor:
    """A view [B, gH, gW, gD, C, ph, pw, pd] of the volume; nothing is copied, whatever the strides."""
    if volume.ndim != 5:
        raise InputError(f"volume: expected [B, C, H, W, D], got a shape of {volume.ndim} axes")
    (ph, pw, pd) = patch_size
    gh, gw, gd = patch_grid((volume.shape[2], volume.shape[3], volume.shape[4]), patch_size)
    view = volume.unflatten(4, (gd, pd)).unflatten(3, (gw, pw)).unflatten(2, (gh, ph))
    return view.permute(0, 2, 4, 6, 1, 3, 5, 7)


def patchify(volume: AnyVolume, patch_size: PatchSize) -> Float[Tensor, "B N P"]:
    """Every patch of a volume as a row, in token order."""
    return patch_view(volume, patch_size).flatten(4).flatten(1, 3)


def unpatchify(
    patches: Float[Tensor, "B N P"], patch_size: PatchSize, volume_size: tuple[int, int, int]
) -> Float[Tensor, "B C H W D"]:
    """The inverse of `patchify`."""
    grid = patch_grid(volume_size, patch_size)
    blocks = patches.unflatten(2, (-1, *patch_size)).unflatten(1, grid)
    return blocks.permute(0, 4, 1, 5, 2, 6, 3, 7).flatten(6, 7).flatten(4, 5).flatten(2, 3)


def gather_patches(view: Tensor, ids: Int64[Tensor, "K"] | None) -> Tensor:
    """Rows [K, P] of one study's `patch_view` [gH, gW, gD, C, ph, pw, pd]; None takes every patch in order."""
    if ids is None:
        return view.flatten(3).flatten(0, 2)
    gw, gd = view.shape[1], view.shape[2]
    return view[ids // (gw * gd), ids // gd % gw, ids % gd].flatten(1)


def patch_rows(volume: AnyVolume, ids: Int64[Tensor, "B K"] | None, patch_size: PatchSize) -> Tensor:
    """Rows [B, K, P] of the chosen patches of every study; None takes every patch in order."""
    view = patch_view(volume, patch_size)
    return view.flatten(4).flatten(1, 3) if ids is None else view[_places(ids, view)].flatten(2)


def holds_tissue(
    volume: AnyVolume, ids: Int64[Tensor, "B K"] | None, patch_size: PatchSize, window: Window
) -> Bool[Tensor, "B K"]:
    """Tell the patches that are mostly more than air: over half of their voxels are above -0.95 of the window.

    Of the default window that is -950 HU: aerated lung lies well above it, the air around a patient below. A rim of
    skin does not make a patch of air one of tissue, as it would if the mean decided.

    Args:
        volume: HU.
        ids: patches to look at; None looks at all.
        patch_size: voxels of a patch.
        window: HU range mapped to [-1, 1].
    """
    values = patch_rows(volume, ids, patch_size)
    above = values >= _lowest_tissue(window) if values.dtype == torch.int16 else _is_tissue(values, window)
    return 2 * above.sum(2) > above.shape[2]


def _places(ids: Int64[Tensor, "B K"], view: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Indices of the patches into a batch's `patch_view`."""
    _, _, gw, gd = view.shape[:4]
    studies = torch.arange(len(ids), device=ids.device)[:, None]
    return studies, ids // (gw * gd), ids // gd % gw, ids % gd


def _is_tissue(values: Tensor, window: Window) -> Tensor:
    return apply_window(values, window) > _AIR_BELOW


@cache
def _lowest_tissue(window: Window) -> int:
    """The lowest HU of tissue, so that int16 need not be windowed to be compared: the window never decreases."""
    hu = torch.arange(-(2**15), 2**15)
    return int(hu[_is_tissue(hu, window)].min())


def apply_window(values: Tensor, window: Window | None, dtype: torch.dtype = torch.float32) -> Tensor:
    """HU to [-1, 1]: clip((v - low) / (high - low) * 2 - 1, -1, 1), computed in `dtype`; None only converts."""
    values = values.to(dtype)
    if window is None:
        return values
    low, high = window
    return ((values - low) * (2.0 / (high - low)) - 1.0).clamp(-1.0, 1.0)
