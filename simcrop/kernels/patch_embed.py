"""Embed the visible patches of volumes: gather, HU window, product, bias and positions.

One kernel gathers the patches, a second multiplies them, and they are kept for the weight gradient. Where nobody asks
for that gradient and voxels are floats, one kernel does both: this is then faster, by 4 to 8 % on an H200. It takes one
window; under several, patches are always gathered. All are custom ops, not autograd.Functions:
`torch.compile(fullgraph=True)` then passes, in the interpreter too, for about 10 us more a call.
"""

import torch
from torch import Tensor

from simcrop.core.op_checks import check_embed
from simcrop.core.ops import PatchSize, Windows, as_windows
from simcrop.kernels.patch_fused import embed_fused
from simcrop.kernels.patch_gather import gather_patches
from simcrop.kernels.patch_product import embed_rows
from simcrop.kernels.support import require
from simcrop.kernels.variants import chosen
from simcrop.kernels.volumes import num_patches


def masked_patch_embed(
    volume: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pos_embed: Tensor | None,
    ids_keep: Tensor | None,
    *,
    patch_size: PatchSize,
    window: Windows | None = None,
) -> Tensor:
    """Linear embedding of the visible patches, plus their positions.

    Arguments and result are those of `simcrop.core.reference.masked_patch_embed`. Once differentiable; the gradients of
    volume and positions are plain torch. On a GPU an id out of range makes its row NaN; SIMCROP_CHECK=1 raises instead.

    Raises:
        InputError: naming the argument that does not fit, or a dtype without a kernel (float64).
        BackendError: no kernel can run here, with the reasons.
    """
    check_embed(volume, weight, bias, pos_embed, ids_keep, patch_size=patch_size, window=window)
    device = volume.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    computed = weight.new_empty(0, dtype=dtype)
    require(volume.device, volume=volume, weight=computed, bias=bias, pos_embed=pos_embed)
    trained = torch.is_grad_enabled() and (weight.requires_grad or (bias is not None and bias.requires_grad))
    windows = as_windows(window)
    if len(windows) <= 1 and (chosen("embed") == "fused" or (not trained and volume.is_floating_point())):
        one = windows[0] if windows else None
        return embed_fused(volume, weight, bias, pos_embed, ids_keep, dtype=dtype, window=one)
    rows = gather_patches(volume, ids_keep, patch_size=patch_size, windows=windows, dtype=dtype)
    N = num_patches(volume, patch_size)
    return embed_rows(rows, weight, bias, pos_embed, ids_keep, studies=volume.shape[0], num_patches=N)
