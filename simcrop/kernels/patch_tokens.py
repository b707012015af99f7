# pyright: basic, reportInvalidTypeForm=false
"""Finish the tokens of a tile: add bias and positions, and store them.

Shapes: B studies, L tokens a study, M = B * L, E channels, N patches a volume.
"""

import torch
from torch import Tensor

from simcrop.kernels.support import tl, triton


@triton.jit
def store_tokens(
    b_out,  # [BLOCK_M, BLOCK_E] fp32
    p_ids,  # [M] int64
    p_bias,  # [E]
    p_pos,  # [N, E]
    p_out,  # [M, E], out
    i_m,
    i_e,
    M,
    E,
    N,
    HAS_IDS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_POS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    """Add bias and positions to a tile, and store it; a row whose id names no patch becomes NaN."""
    o_m = i_m * BLOCK_M + tl.arange(0, BLOCK_M)
    m_m = o_m < M
    patch = (o_m % N).to(tl.int64)
    if HAS_IDS:
        patch = tl.load(p_ids + o_m, mask=m_m, other=0)
    m_patch = (patch >= 0) & (patch < N)
    # In quarters: the positions of a whole tile would not fit beside it in registers.
    QUARTER: tl.constexpr = BLOCK_E // 4
    halves = _halves(b_out)
    for quarter in tl.static_range(4):
        o_e = i_e * BLOCK_E + quarter * QUARTER + tl.arange(0, QUARTER)
        m_e = o_e < E
        b_part = _halves(halves[quarter // 2])[quarter % 2]
        if HAS_BIAS:
            b_part += tl.load(p_bias + o_e, mask=m_e, other=0).to(tl.float32)[None, :]
        if HAS_POS:
            p_row = p_pos + patch[:, None] * E + o_e[None, :]
            b_part += tl.load(p_row, mask=(m_m & m_patch)[:, None] & m_e[None, :], other=0).to(tl.float32)
        b_part = tl.where(m_patch[:, None], b_part, float("nan"))
        p_tile = p_out + o_m[:, None].to(tl.int64) * E + o_e[None, :]
        tl.store(p_tile, b_part.to(p_out.dtype.element_ty), mask=m_m[:, None] & m_e[None, :])


@triton.jit
def _halves(b_out):
    """The left and the right half of a tile."""
    return tl.reshape(b_out, (b_out.shape[0], 2, b_out.shape[1] // 2)).permute(0, 2, 1).split()


def token_dtype(dtype: torch.dtype, pos_embed: Tensor | None) -> torch.dtype:
    """That of tokens: what adding the positions to a product of `dtype` gives."""
    return dtype if pos_embed is None else torch.promote_types(dtype, pos_embed.dtype)


def token_arguments(
    out: Tensor, bias: Tensor | None, pos_embed: Tensor | None, ids: Tensor | None, num_patches: int
) -> dict[str, Tensor | int | bool]:
    """What `store_tokens` is given, for tokens `out` [M, E]."""
    return {
        "p_ids": out if ids is None else ids.contiguous(),
        "p_bias": out if bias is None else bias.contiguous(),
        "p_pos": out if pos_embed is None else pos_embed.contiguous(),
        "p_out": out,
        "M": out.shape[0],
        "E": out.shape[1],
        "N": num_patches,
        "HAS_IDS": ids is not None,
        "HAS_BIAS": bias is not None,
        "HAS_POS": pos_embed is not None,
    }
