# pyright: basic, reportInvalidTypeForm=false
"""Invert the norms of sentences and patches [.., E], for both sentence operations."""

import torch
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.kernels.support import cdiv, on, power_of_two, tl, triton

_MAX_FEATURES = 4096
_TILE = 4096
"""Values that a program reads at once."""


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
    o_row, o_e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, BLOCK_E)
    m_row = o_row < num_rows
    p_tile = p_rows + o_row[:, None].to(tl.int64) * E + o_e[None, :]
    b_row = tl.load(p_tile, mask=m_row[:, None] & (o_e < E)[None, :], other=0).to(tl.float32)
    tl.store(p_inverse + o_row, inverse_norm(tl.sum(b_row * b_row, 1)), mask=m_row)


def check_features(name: str, rows: Tensor) -> None:
    """Raise InputError where a row is longer than a program can hold."""
    if rows.shape[-1] > _MAX_FEATURES:
        raise InputError(f"{name}: {rows.shape[-1]} features; the kernels take up to {_MAX_FEATURES}")


def lower_dtype(sentences: Tensor, patches: Tensor) -> torch.dtype:
    """The dtype that products are computed in."""
    return patches.dtype if patches.element_size() <= sentences.element_size() else sentences.dtype


def inverse_norms(rows: Tensor) -> Tensor:
    """1 / max(norm, 1e-12) of contiguous rows [.., E] as fp32 [..]; 0 for zero rows."""
    E, num_rows = rows.shape[-1], rows.shape[:-1].numel()
    inverse = (torch.empty if E else torch.zeros)(rows.shape[:-1], dtype=torch.float32, device=rows.device)
    if num_rows and E:
        with on(rows.device):
            width = power_of_two(E)
            block = max(1, _TILE // width)
            _inverse_norm_kernel[(cdiv(num_rows, block),)](rows, inverse, num_rows, E, BLOCK=block, BLOCK_E=width)
    return inverse
