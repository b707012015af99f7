# pyright: basic, reportInvalidTypeForm=false
"""Multiply gathered patches by the weight of an embedding, with bias and positions added on the way out.

The rows are kept for the backward pass, whose weight gradient is their dense product with that of the tokens.

Shapes: B studies, L tokens a study, M = B * L, E channels, N patches a volume, P values a row, which are those of a
patch under each window in turn.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from simcrop.kernels.dense import dense_product
from simcrop.kernels.patch_gradients import gradient_of_rows, position_gradient
from simcrop.kernels.patch_tiles import PRODUCT_TILES
from simcrop.kernels.patch_tokens import store_tokens, token_arguments, token_dtype
from simcrop.kernels.support import architecture, cdiv, described, num_multiprocessors, on, tl, triton
from simcrop.kernels.variants import chosen


@triton.jit
def _patch_product_kernel(
    d_rows,  # descriptor of [M, P], in blocks of BLOCK_M x BLOCK_P
    d_weight,  # descriptor of [E, P], in blocks of BLOCK_E x BLOCK_P
    p_ids,  # [M] int64
    p_bias,  # [E]
    p_pos,  # [N, E]
    p_out,  # [M, E], out
    M,
    E,
    N,
    P,
    HAS_IDS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_POS: tl.constexpr,
    PROGRAMS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    # Tiles side by side share their rows: those of one row of tiles come right after one another.
    tiles_e = tl.cdiv(E, BLOCK_E)
    for tile in range(tl.program_id(0), tl.cdiv(M, BLOCK_M) * tiles_e, PROGRAMS):
        i_m, i_e = tile // tiles_e, tile % tiles_e
        b_out = tl.zeros((BLOCK_M, BLOCK_E), tl.float32)
        for start in range(0, P, BLOCK_P):
            b_x = d_rows.load([i_m * BLOCK_M, start])
            b_w = d_weight.load([i_e * BLOCK_E, start])
            b_out = tl.dot(b_x, b_w.T, b_out)
        store_tokens(
            b_out, p_ids, p_bias, p_pos, p_out, i_m, i_e, M, E, N, HAS_IDS, HAS_BIAS, HAS_POS, BLOCK_M, BLOCK_E
        )


@triton.jit
def _finish_kernel(
    p_product,  # [M, E] fp32
    p_ids,  # [M] int64
    p_bias,  # [E]
    p_pos,  # [N, E]
    p_out,  # [M, E], out
    M,
    E,
    N,
    HAS_IDS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_POS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    i_m, i_e = tl.program_id(0), tl.program_id(1)
    o_m = i_m * BLOCK_M + tl.arange(0, BLOCK_M)
    o_e = i_e * BLOCK_E + tl.arange(0, BLOCK_E)
    p_tile = p_product + o_m[:, None].to(tl.int64) * E + o_e[None, :]
    b_out = tl.load(p_tile, mask=(o_m < M)[:, None] & (o_e < E)[None, :], other=0)
    store_tokens(b_out, p_ids, p_bias, p_pos, p_out, i_m, i_e, M, E, N, HAS_IDS, HAS_BIAS, HAS_POS, BLOCK_M, BLOCK_E)


@torch.library.custom_op("simcrop::patch_product", mutates_args=())
def _product(
    rows: Tensor, weight: Tensor, bias: Tensor | None, pos_embed: Tensor | None, ids: Tensor | None, num_patches: int
) -> Tensor:
    """Tokens [M, E]."""
    (M, P), E = rows.shape, weight.shape[0]
    out = torch.empty(M, E, dtype=token_dtype(rows.dtype, pos_embed), device=rows.device)
    if not out.numel():
        return out
    rows, kernel = rows.contiguous(), weight.reshape(E, P).to(rows.dtype).contiguous()
    extras = token_arguments(out, bias, pos_embed, ids, num_patches)
    with on(rows.device):
        if chosen("embed_product") == "triton" and _can_run(rows, kernel):
            _launch_product(rows, kernel, extras)
        else:
            product = dense_product(rows, kernel.t())
            _finish_kernel[(cdiv(M, 32), cdiv(E, 128))](product, **extras, BLOCK_M=32, BLOCK_E=128)
    return out


def _launch_product(rows: Tensor, weight: Tensor, extras: Mapping[str, Any]) -> None:
    tiles = PRODUCT_TILES
    # Two a multiprocessor: one multiplies while the other stores.
    programs = min(2 * num_multiprocessors(rows.device), cdiv(len(rows), tiles.M) * cdiv(len(weight), tiles.E))
    _patch_product_kernel[(programs,)](
        described(rows, tiles.M, tiles.P),
        described(weight, tiles.E, tiles.P),
        P=rows.shape[1],
        **extras,
        PROGRAMS=programs,
        **tiles.arguments(),
    )


def _can_run(rows: Tensor, weight: Tensor) -> bool:
    """Whether the kernel takes them: 16-bit values, in rows that the copy engine of capability 9 or 10 reads."""
    is_aligned = (rows.shape[1] * rows.itemsize) % 16 == rows.data_ptr() % 16 == weight.data_ptr() % 16 == 0
    return rows.itemsize == 2 and is_aligned and 90 <= architecture(rows.device) < 120


@_product.register_fake
def _(rows, weight, bias, pos_embed, ids, num_patches):
    return rows.new_empty(rows.shape[0], weight.shape[0], dtype=token_dtype(rows.dtype, pos_embed))


def _save(ctx, inputs, output):
    rows, weight, bias, pos_embed, ids, ctx.num_patches = inputs
    ctx.save_for_backward(rows, weight, ids)
    ctx.dtypes = [None if value is None else value.dtype for value in (bias, pos_embed)]


def _backward(ctx, grad):
    rows, weight, ids = ctx.saved_tensors
    to_rows, to_weight, to_bias, to_pos, *_ = ctx.needs_input_grad
    bias_dtype, pos_dtype = ctx.dtypes
    grad_rows = grad_weight = grad_bias = grad_pos = None
    if to_weight or to_bias:
        grad_weight, grad_bias = gradient_of_rows(grad, rows, weight)
        grad_weight = grad_weight.to(weight.dtype) if to_weight else None
        grad_bias = grad_bias.to(bias_dtype) if to_bias else None
    if to_pos:
        grad_pos = position_gradient(grad, ids, ctx.num_patches).to(pos_dtype)
    if to_rows:
        grad_rows = (grad.float() @ weight.flatten(1).float()).to(rows.dtype)
    return grad_rows, grad_weight, grad_bias, grad_pos, None, None


_product.register_autograd(_backward, setup_context=_save)


def embed_rows(
    rows: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pos_embed: Tensor | None,
    ids_keep: Tensor | None,
    *,
    studies: int,
    num_patches: int,
) -> Tensor:
    """Tokens of gathered patches; once differentiable, and until then `rows` are kept.

    Args:
        rows: [B * L, P] of the dtype to compute in.
        weight: [E, ...] with P values a channel.
        bias: [E].
        pos_embed: [N, E], one row a patch.
        ids_keep: [B, L] patches that the rows are of; None means all in order.
        studies: B.
        num_patches: N.

    Returns:
        [B, L, E] in the dtype that torch gives for linear + pos_embed.
    """
    tokens = _product(rows, weight, bias, pos_embed, ids_keep, num_patches)
    L = num_patches if ids_keep is None else ids_keep.shape[1]
    return tokens.view(studies, L, weight.shape[0])
