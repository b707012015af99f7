# pyright: basic, reportInvalidTypeForm=false
"""Compute the weight gradient of an embedding that kept no patches: gather them again, or within the product.

Shapes: B studies, L tokens a study, M = B * L, E channels, P = C * PH * PW * PD values a patch.
"""

import math

import torch
from torch import Tensor

from simcrop.core.ops import Window
from simcrop.kernels.dense import dense_product
from simcrop.kernels.patch_gather import gather_patches
from simcrop.kernels.patch_gradients import cast_and_sum
from simcrop.kernels.patch_tiles import gradient_tiles
from simcrop.kernels.support import cdiv, dot_precision, num_multiprocessors, on, tl, triton
from simcrop.kernels.variants import chosen
from simcrop.kernels.volumes import (
    first_voxels,
    in_window,
    patch_arguments,
    read_first,
    triple,
    voxel_offset,
    window_arguments,
)


@triton.jit
def _masked_patch_embed_bwd_weight_kernel(
    p_grad,  # [M, E], of the dtype to compute in
    p_volume,  # [B, C, H, W, D], any strides
    p_first,  # [M] int64: where each patch begins, -1 for none
    p_sums,  # [SPLITS, E, P] fp32, out
    M,
    E,
    steps,
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
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    i_e, i_p, i_split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    o_e = i_e * BLOCK_E + tl.arange(0, BLOCK_E)
    o_p = i_p * BLOCK_P + tl.arange(0, BLOCK_P)
    m_e, m_p = o_e < E, o_p < P
    offset = voxel_offset(o_p, stride_c, stride_h, stride_w, stride_d, PH, PW, PD)
    b_sum = tl.zeros((BLOCK_E, BLOCK_P), tl.float32)
    for step in range(steps):
        o_m = (i_split * steps + step) * BLOCK_M + tl.arange(0, BLOCK_M)
        first, m_first = read_first(p_first, o_m, o_m < M, ALIGN)
        p_columns = p_grad + o_e[:, None] + o_m[None, :].to(tl.int64) * E
        b_grad = tl.load(p_columns, mask=m_e[:, None] & (o_m < M)[None, :], other=0)
        b_x = tl.load(p_volume + first[:, None] + offset[None, :], mask=m_first[:, None] & m_p[None, :], other=0)
        if HAS_WINDOW or b_x.dtype != b_grad.dtype:
            b_x = in_window(b_x, low, slope, HAS_WINDOW).to(b_grad.dtype)
        b_sum = tl.dot(b_grad, b_x, b_sum, input_precision=PRECISION)
    o_row = i_split.to(tl.int64) * E + o_e
    tl.store(p_sums + o_row[:, None] * P + o_p[None, :], b_sum, mask=m_e[:, None] & m_p[None, :])


@torch.library.custom_op("simcrop::masked_patch_embed_weight_gradient", mutates_args=())
def weight_gradient(
    grad: Tensor,
    volume: Tensor,
    weight: Tensor,
    ids_keep: Tensor | None,
    dtype: torch.dtype,
    window: list[float] | None,
) -> tuple[Tensor, Tensor]:
    """fp32 gradients of weight, in its shape, and bias [E], of tokens' [M, E]."""
    bounds = None if window is None else (window[0], window[1])
    cast, bias = cast_and_sum(grad, dtype)
    if chosen("weight_gradient") == "dense":
        size, windows = triple(weight.shape[2:]), [] if bounds is None else [bounds]
        rows = gather_patches(volume, ids_keep, patch_size=size, windows=windows, dtype=dtype)
        return dense_product(cast.t(), rows).reshape(weight.shape), bias
    return _split_sums(cast, volume, weight, ids_keep, bounds).sum(0).reshape(weight.shape), bias


def _split_sums(grad: Tensor, volume: Tensor, weight: Tensor, ids_keep: Tensor | None, window: Window | None) -> Tensor:
    """Parts [SPLITS, E, P] of the weight gradient, each the sum over some of the tokens."""
    (M, E), P, size = grad.shape, weight[0].numel(), triple(weight.shape[2:])
    first, align = first_voxels(volume, ids_keep, size)
    tiles = gradient_tiles(volume, grad.dtype)
    grid = (cdiv(E, tiles.E), cdiv(P, tiles.P))
    splits = _num_splits(grid[0] * grid[1], cdiv(M, tiles.M), num_multiprocessors(volume.device))
    sums = torch.empty(splits, E, P, dtype=torch.float32, device=grad.device)
    if sums.numel():
        with on(volume.device):
            _masked_patch_embed_bwd_weight_kernel[(*grid, splits)](
                grad,
                volume,
                first,
                sums,
                M,
                E,
                cdiv(cdiv(M, tiles.M), splits),
                **patch_arguments(volume, size),
                **window_arguments(window),
                P=P,
                ALIGN=align,
                PRECISION=dot_precision(),
                **tiles.arguments(),
            )
    return sums


@weight_gradient.register_fake
def _(grad, volume, weight, ids_keep, dtype, window):
    return weight.new_empty(weight.shape, dtype=torch.float32), weight.new_empty(weight.shape[0], dtype=torch.float32)


def _num_splits(tiles: int, steps: int, multiprocessors: int) -> int:
    """How often to split a long sum: full waves of programs, but each split writes and reads a copy of the result.

    At the size of a ViT-B that copy takes 3 % of the product's time.
    """

    def gain(splits: int) -> float:
        waves = tiles * splits / multiprocessors
        return waves / math.ceil(waves) - 0.03 * splits

    return max(range(1, min(16, max(1, steps)) + 1), key=gain)
