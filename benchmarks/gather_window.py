# pyright: basic, reportInvalidTypeForm=false
"""The two-kernel way to embed visible patches, as a baseline: one kernel gathers them and applies the window, cuBLAS
multiplies.

It writes the patches to memory, which the fused kernel does not, and leaves the product to the best library.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from simcrop.core.ops import PatchSize, Window
from simcrop.kernels.support import cdiv, on, tl, triton
from simcrop.kernels.volumes import first_voxels, in_window, patch_arguments, voxel_offset, window_arguments

_BLOCK = 1024


@triton.jit
def _gather_window_kernel(
    p_volume,  # [B, C, H, W, D], any strides
    p_first,  # [M] int64: where each patch begins
    p_out,  # [M, P]
    stride_c,
    stride_h,
    stride_w,
    stride_d,
    low,
    slope,
    P: tl.constexpr,
    PH: tl.constexpr,
    PW: tl.constexpr,
    PD: tl.constexpr,
    ALIGN: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    BLOCK: tl.constexpr,
):
    i_m, i_p = tl.program_id(0), tl.program_id(1)
    o_p = i_p * BLOCK + tl.arange(0, BLOCK)
    m_p = o_p < P
    first = tl.multiple_of(tl.load(p_first + i_m), ALIGN)
    offset = voxel_offset(o_p, stride_c, stride_h, stride_w, stride_d, PH, PW, PD)
    b_x = in_window(tl.load(p_volume + first + offset, mask=m_p, other=0), low, slope, HAS_WINDOW)
    tl.store(p_out + i_m.to(tl.int64) * P + o_p, b_x.to(p_out.dtype.element_ty), mask=m_p)


def embed_gather_kernel(
    volume: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pos_embed: Tensor,
    ids_keep: Tensor,
    *,
    patch_size: PatchSize,
    window: Window | None = None,
) -> Tensor:
    """A kernel that gathers the visible patches and applies the window, then F.linear."""
    first, align = first_voxels(volume, ids_keep, patch_size)
    P = weight[0].numel()
    patches = torch.empty(*ids_keep.shape, P, dtype=weight.dtype, device=volume.device)
    with on(volume.device):
        _gather_window_kernel[(first.numel(), cdiv(P, _BLOCK))](
            volume,
            first,
            patches,
            **patch_arguments(volume, patch_size),
            **window_arguments(window),
            P=P,
            ALIGN=align,
            BLOCK=_BLOCK,
        )
    return F.linear(patches, weight.flatten(1), bias) + pos_embed[ids_keep]
