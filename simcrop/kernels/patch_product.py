# pyright: basic, reportInvalidTypeForm=false
"""Multiply gathered patches by the weight of an embedding, with bias and positions added on the way out.

The rows are kept for the backward pass, whose weight gradient is their dense product with that of the tokens.

Shapes: B studies, L tokens a study, M = B * L, E channels, N patches a volume, P values a row, which are those of a
patch under each window in turn.
"""

import torch
from torch import Tensor

from simcrop.kernels.dense import dense_product
from simcrop.kernels.patch_gradients import gradient_of_rows, position_gradient
from simcrop.kernels.patch_tiles import product_tiles
from simcrop.kernels.patch_tokens import store_tokens, token_arguments, token_dtype
from simcrop.kernels.support import cdiv, dot_precision, on, tl, triton
from simcrop.kernels.variants import chosen


@triton.jit
def _patch_product_kernel(
    p_rows,  # [M, P]
    p_ids,  # [M] int64
    p_weight,  # [E, P]
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
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    # Programs side by side share their rows: those of one row of tiles come right after one another.
    tiles_e = tl.cdiv(E, BLOCK_E)
    i_m, i_e = tl.program_id(0) // tiles_e, tl.program_id(0) % tiles_e
    o_m = i_m * BLOCK_M + tl.arange(0, BLOCK_M)
    o_e = i_e * BLOCK_E + tl.arange(0, BLOCK_E)
    # A row beyond the last reads the last one again, and is not stored: masks would cost registers in the loop.
    p_x = p_rows + tl.minimum(o_m, M - 1)[:, None].to(tl.int64) * P
    p_w = p_weight + tl.minimum(o_e, E - 1)[:, None].to(tl.int64) * P
    b_out = tl.zeros((BLOCK_M, BLOCK_E), tl.float32)
    for start in range(0, P, BLOCK_P):
        o_p = start + tl.arange(0, BLOCK_P)
        m_p = (o_p < P)[None, :]
        b_x = tl.load(p_x + o_p[None, :], mask=m_p, other=0)
        b_w = tl.load(p_w + o_p[None, :], mask=m_p, other=0)
        b_out = tl.dot(b_x, tl.trans(b_w), b_out, input_precision=PRECISION)
    store_tokens(b_out, p_ids, p_bias, p_pos, p_out, i_m, i_e, M, E, N, HAS_IDS, HAS_BIAS, HAS_POS, BLOCK_M, BLOCK_E)


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
    kernel = weight.reshape(E, P).to(rows.dtype)
    extras = token_arguments(out, bias, pos_embed, ids, num_patches)
    with on(rows.device):
        if chosen("embed_product") == "triton":
            tiles = product_tiles(rows)
            grid = (cdiv(M, tiles.M) * cdiv(E, tiles.E),)
            _patch_product_kernel[grid](
                rows.contiguous(), p_weight=kernel, P=P, **extras, PRECISION=dot_precision(), **tiles.arguments()
            )
        else:
            product = dense_product(rows, kernel.t())
            _finish_kernel[(cdiv(M, 32), cdiv(E, 128))](product, **extras, BLOCK_M=32, BLOCK_E=128)
    return out


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
