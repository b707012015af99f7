# pyright: basic, reportInvalidTypeForm=false
"""Compute the gradients that all ways to embed have in common: of bias and positions, and of the weight by a product.

Shapes: M tokens, E channels, N patches a volume.
"""

import torch
from torch import Tensor

from simcrop.kernels.dense import dense_product
from simcrop.kernels.support import cdiv, on, tl, triton

_ROWS = 256


@triton.jit
def _cast_and_sum_kernel(
    p_grad,  # [M, E], any strides
    p_cast,  # [M, E], out
    p_sums,  # [ceil(M / ROWS), E] fp32, out
    M,
    E,
    stride_m,
    stride_e,
    ROWS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    i_m = tl.program_id(0)
    o_e = tl.program_id(1) * BLOCK_E + tl.arange(0, BLOCK_E)
    m_e = o_e < E
    b_sum = tl.zeros((BLOCK_M, BLOCK_E), tl.float32)
    for start in range(0, ROWS, BLOCK_M):
        o_m = (i_m * ROWS + start + tl.arange(0, BLOCK_M))[:, None].to(tl.int64)
        m_tile = (o_m < M) & m_e[None, :]
        b_grad = tl.load(p_grad + o_m * stride_m + o_e[None, :].to(tl.int64) * stride_e, mask=m_tile, other=0)
        tl.store(p_cast + o_m * E + o_e[None, :], b_grad.to(p_cast.dtype.element_ty), mask=m_tile)
        b_sum += b_grad.to(tl.float32)
    tl.store(p_sums + i_m.to(tl.int64) * E + o_e, tl.sum(b_sum, 0), mask=m_e)


def cast_and_sum(grad: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A gradient [M, E] of any strides as contiguous `dtype`, and the fp32 sum of its rows, by one read of it."""
    M, E = grad.shape
    cast = torch.empty(M, E, dtype=dtype, device=grad.device)
    sums = torch.empty(cdiv(M, _ROWS), E, dtype=torch.float32, device=grad.device)
    if cast.numel():
        with on(grad.device):
            _cast_and_sum_kernel[(cdiv(M, _ROWS), cdiv(E, 128))](
                grad, cast, sums, M, E, *grad.stride(), ROWS=_ROWS, BLOCK_M=32, BLOCK_E=128, num_warps=8, num_stages=1
            )
    return cast, sums.sum(0)


def position_gradient(grad: Tensor, ids: Tensor | None, num_patches: int) -> Tensor:
    """fp32 gradient [N, E] of the positions of tokens [M, E]."""
    # index_put, not index_add: with accumulate it sorts first, so that a repeated id is added in a fixed order.
    ids = torch.arange(len(grad), device=grad.device) % num_patches if ids is None else ids.flatten()
    rows = grad.new_zeros(num_patches, grad.shape[1], dtype=torch.float32)
    return rows.index_put((ids.clamp(0, num_patches - 1),), grad.float(), accumulate=True)


@torch.library.custom_op("simcrop::patch_product_gradient", mutates_args=())
def gradient_of_rows(grad: Tensor, rows: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """fp32 gradients of weight, in its shape, and bias [E], of tokens' [M, E]."""
    cast, bias = cast_and_sum(grad, rows.dtype)
    return dense_product(cast.t(), rows).reshape(weight.shape), bias


@gradient_of_rows.register_fake
def _(grad, rows, weight):
    return weight.new_empty(weight.shape, dtype=torch.float32), weight.new_empty(weight.shape[0], dtype=torch.float32)
