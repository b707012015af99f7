# pyright: basic, reportInvalidTypeForm=false
"""Embed visible patches by one kernel: gather, HU window, product, bias and positions.

A program reads voxels of visible patches straight from the volume into the operand of a matrix product, so that no
gathered patches are in memory until a backward pass. That gathers them, for a dense weight gradient.

Shapes: B studies, L tokens a study, M = B * L, E channels, N patches a volume, P = C * PH * PW * PD values a patch.
"""

import torch
from torch import Tensor

from simcrop.core.ops import Window
from simcrop.kernels.patch_gather import gather, scatter_patches
from simcrop.kernels.patch_gradients import gradient_of_rows, position_gradient
from simcrop.kernels.patch_tiles import fused_tiles
from simcrop.kernels.patch_tokens import store_tokens, token_arguments, token_dtype
from simcrop.kernels.support import cdiv, dot_precision, on, tl, triton
from simcrop.kernels.volumes import (
    first_voxels,
    in_window,
    num_patches,
    patch_arguments,
    read_first,
    refuse_ids,
    triple,
    voxel_offset,
    window_arguments,
)


@triton.jit
def _masked_patch_embed_fwd_kernel(
    p_volume,  # [B, C, H, W, D], any strides
    p_first,  # [M] int64: where each patch begins, -1 for none
    p_ids,  # [M] int64
    p_weight,  # [E, P]
    p_bias,  # [E]
    p_pos,  # [N, E]
    p_out,  # [M, E], out
    M,
    E,
    N,
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
    HAS_IDS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_POS: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    # Programs side by side share their patches: those of one row of tiles come right after one another.
    tiles_e = tl.cdiv(E, BLOCK_E)
    i_m, i_e = tl.program_id(0) // tiles_e, tl.program_id(0) % tiles_e
    o_m = i_m * BLOCK_M + tl.arange(0, BLOCK_M)
    o_e = i_e * BLOCK_E + tl.arange(0, BLOCK_E)
    m_e = o_e < E
    first, m_first = read_first(p_first, o_m, o_m < M, ALIGN)
    b_out = tl.zeros((BLOCK_M, BLOCK_E), tl.float32)
    for start in range(0, P, BLOCK_P):
        o_p = start + tl.arange(0, BLOCK_P)
        m_p = o_p < P
        offset = voxel_offset(o_p, stride_c, stride_h, stride_w, stride_d, PH, PW, PD)
        b_x = tl.load(p_volume + first[:, None] + offset[None, :], mask=m_first[:, None] & m_p[None, :], other=0)
        if HAS_WINDOW or b_x.dtype != p_weight.dtype.element_ty:
            b_x = in_window(b_x, low, slope, HAS_WINDOW).to(p_weight.dtype.element_ty)
        b_w = tl.load(p_weight + o_e[:, None] * P + o_p[None, :], mask=m_e[:, None] & m_p[None, :], other=0)
        b_out = tl.dot(b_x, tl.trans(b_w), b_out, input_precision=PRECISION)
    store_tokens(b_out, p_ids, p_bias, p_pos, p_out, i_m, i_e, M, E, N, HAS_IDS, HAS_BIAS, HAS_POS, BLOCK_M, BLOCK_E)


@torch.library.custom_op("simcrop::masked_patch_embed", mutates_args=())
def _embed(
    volume: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pos_embed: Tensor | None,
    ids_keep: Tensor | None,
    dtype: torch.dtype,
    window: list[float] | None,
) -> Tensor:
    """Tokens [B, L, E]."""
    E, P = weight.shape[0], weight[0].numel()
    size = triple(weight.shape[2:])
    N = num_patches(volume, size)
    refuse_ids("ids_keep", ids_keep, volume, size)
    out = volume.new_empty(_shape(volume, weight, ids_keep), dtype=token_dtype(dtype, pos_embed))
    if not out.numel():
        return out
    first, align = first_voxels(volume, ids_keep, size)
    tiles = fused_tiles(volume, dtype)
    with on(volume.device):
        _masked_patch_embed_fwd_kernel[(cdiv(len(first), tiles.M) * cdiv(E, tiles.E),)](
            volume,
            first,
            p_weight=weight.reshape(E, P).to(dtype),
            **token_arguments(out.view(-1, E), bias, pos_embed, ids_keep, N),
            **patch_arguments(volume, size),
            **window_arguments(None if window is None else (window[0], window[1])),
            P=P,
            ALIGN=align,
            PRECISION=dot_precision(),
            **tiles.arguments(),
        )
    return out


@_embed.register_fake
def _(volume, weight, bias, pos_embed, ids_keep, dtype, window):
    return volume.new_empty(_shape(volume, weight, ids_keep), dtype=token_dtype(dtype, pos_embed))


def _save(ctx, inputs, output):
    volume, weight, bias, pos_embed, ids_keep, ctx.dtype, ctx.window = inputs
    ctx.save_for_backward(volume, weight, ids_keep)
    ctx.dtypes = [None if value is None else value.dtype for value in (bias, pos_embed)]


def _backward(ctx, grad):
    volume, weight, ids_keep = ctx.saved_tensors
    to_volume, to_weight, to_bias, to_pos, *_ = ctx.needs_input_grad
    bias_dtype, pos_dtype = ctx.dtypes
    grad, size = grad.flatten(0, 1), triple(weight.shape[2:])
    grad_volume = grad_weight = grad_bias = grad_pos = None
    if to_weight or to_bias:
        rows = gather(volume, ids_keep, list(size), ctx.window or [], ctx.dtype)
        grad_weight, grad_bias = gradient_of_rows(grad, rows, weight)
        grad_weight = grad_weight.to(weight.dtype) if to_weight else None
        grad_bias = grad_bias.to(bias_dtype) if to_bias else None
    if to_pos:
        grad_pos = position_gradient(grad, ids_keep, num_patches(volume, size)).to(pos_dtype)
    if to_volume:
        grad_rows = grad.float() @ weight.flatten(1).float()
        grad_volume = scatter_patches(grad_rows, volume, ids_keep, list(size), ctx.window or [])
    return grad_volume, grad_weight, grad_bias, grad_pos, None, None, None


_embed.register_autograd(_backward, setup_context=_save)


def embed_fused(
    volume: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pos_embed: Tensor | None,
    ids_keep: Tensor | None,
    *,
    dtype: torch.dtype,
    window: Window | None,
) -> Tensor:
    """Tokens [B, L, E], computed in `dtype`; arguments as in `simcrop.core.reference.masked_patch_embed`."""
    return _embed(volume, weight, bias, pos_embed, ids_keep, dtype, None if window is None else list(window))


def _shape(volume: Tensor, weight: Tensor, ids_keep: Tensor | None) -> tuple[int, int, int]:
    tokens = num_patches(volume, triple(weight.shape[2:])) if ids_keep is None else ids_keep.shape[1]
    return volume.shape[0], tokens, weight.shape[0]
