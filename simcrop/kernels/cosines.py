# pyright: basic, reportInvalidTypeForm=false
"""Multiply sentences with patches tile by tile, and invert their norms, for both sentence operations.

Shapes: R sentences, N patches of a volume, E features.
"""

from typing import Any

import torch
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.kernels.support import MOST_REGISTERS, cdiv, dot_precision, on, tl, triton

BLOCK_N = 128
_MAX_FEATURES = 4096


@triton.jit
def block_products(
    p_sentences,  # [R, E]: its rows `o_r`
    p_patches,  # [N, E]: its rows `o_n`
    o_r,  # [BLOCK_R]
    m_r,  # [BLOCK_R]
    o_n,  # [BLOCK_N]
    m_n,  # [BLOCK_N]
    E,
    DTYPE: tl.constexpr,
    PRECISION: tl.constexpr,
    HAS_SQUARES: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    """Products [BLOCK_R, BLOCK_N] of rows, and the patches' squared norms [BLOCK_N] or zeros."""
    b_dot = tl.zeros((BLOCK_R, BLOCK_N), tl.float32)
    b_square = tl.zeros((BLOCK_N,), tl.float32)
    for start in range(0, E, BLOCK_E):
        o_e = start + tl.arange(0, BLOCK_E)
        m_e = o_e < E
        b_s = tl.load(p_sentences + o_r[:, None] * E + o_e[None, :], mask=m_r[:, None] & m_e[None, :], other=0)
        b_p = tl.load(p_patches + o_n[:, None] * E + o_e[None, :], mask=m_n[:, None] & m_e[None, :], other=0)
        if HAS_SQUARES:
            b_square += tl.sum(b_p.to(tl.float32) * b_p.to(tl.float32), 1)
        b_dot = tl.dot(b_s.to(DTYPE), tl.trans(b_p.to(DTYPE)), b_dot, input_precision=PRECISION)
        if HAS_SQUARES:
            # Used within the loop, a product is waited for. Otherwise the next patches would be written over those that
            # it still reads: of a tile with two uses, Triton 3.6 to 3.9 holds one buffer too few (triton#7110).
            b_dot += 0.0
    return b_dot, b_square


@triton.jit
def inverse_norm(square):
    """1 / max(norm, 1e-12) from squared norms; 0 for a zero row, and for NaN, as the reference has it."""
    norm = tl.sqrt(square)
    return tl.where(norm > 0.0, 1.0 / tl.maximum(norm, 1e-12), 0.0)


@triton.jit(do_not_specialize=["num_rows"])
def _inverse_norm_kernel(
    p_rows,  # [num_rows, E]
    p_inverse,  # [num_rows] fp32, out
    num_rows,
    E,
    BLOCK: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    o_row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    b_square = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, E, BLOCK_E):
        o_e = start + tl.arange(0, BLOCK_E)
        p_tile = p_rows + o_row[:, None].to(tl.int64) * E + o_e[None, :]
        b_row = tl.load(p_tile, mask=(o_row < num_rows)[:, None] & (o_e < E)[None, :], other=0).to(tl.float32)
        b_square += tl.sum(b_row * b_row, 1)
    tl.store(p_inverse + o_row, inverse_norm(b_square), mask=o_row < num_rows)


def check_features(name: str, rows: Tensor) -> None:
    """Raise InputError where a row is longer than a program can hold."""
    if rows.shape[-1] > _MAX_FEATURES:
        raise InputError(f"{name}: {rows.shape[-1]} features; the kernels take up to {_MAX_FEATURES}")


def lower_dtype(sentences: Tensor, patches: Tensor) -> torch.dtype:
    """The dtype that products are computed in."""
    return patches.dtype if patches.element_size() <= sentences.element_size() else sentences.dtype


def product_arguments(sentences: Tensor, patches: Tensor) -> dict[str, Any]:
    """What `block_products` is compiled with, but for the number of sentences in a block.

    Args:
        sentences, patches: [.., E].

    Returns:
        Block sizes, dtype and launch options.
    """
    return {
        "BLOCK_N": BLOCK_N,
        "BLOCK_E": 32 if patches.dtype == torch.float32 else 64,
        "DTYPE": getattr(tl, str(lower_dtype(sentences, patches)).removeprefix("torch.")),
        "PRECISION": dot_precision(),
        "num_warps": 8,
        "num_stages": 3,
        "maxnreg": MOST_REGISTERS,
    }


def inverse_norms(rows: Tensor) -> Tensor:
    """1 / max(norm, 1e-12) of contiguous rows [.., E] as fp32 [..]; 0 for zero rows."""
    E, num_rows = rows.shape[-1], rows.shape[:-1].numel()
    inverse = (torch.empty if E else torch.zeros)(rows.shape[:-1], dtype=torch.float32, device=rows.device)
    if num_rows and E:
        with on(rows.device):
            _inverse_norm_kernel[(cdiv(num_rows, 16),)](rows, inverse, num_rows, E, BLOCK=16, BLOCK_E=256)
    return inverse
