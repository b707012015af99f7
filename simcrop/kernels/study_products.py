# pyright: basic, reportInvalidTypeForm=false
"""Multiply the sentences of each study with its patches, and invert the patches' norms, in one read of the patches.

Shapes: B studies, S sentences, N patches, E features.
"""

from typing import Any

import torch
from torch import Tensor

from simcrop.kernels.cosines import inverse_norm, lower_dtype
from simcrop.kernels.support import MOST_REGISTERS, architecture, cdiv, dot_precision, on, tl, triton, triton_version


@triton.jit(do_not_specialize=["S", "row_blocks"])
def _sentence_patch_topk_product_kernel(
    p_sentences,  # [B, S, E]
    p_patches,  # [B, N, E]
    p_shown,  # [B, S] bool
    p_products,  # [B, S, N] fp32, out
    p_inverse_n,  # [B, N] fp32, out
    S,
    N,
    E,
    row_blocks,
    blocks,
    DTYPE: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    # Blocks of sentences side by side: what one read of the patches, the next finds in the cache.
    i_s, i_block = tl.program_id(0) % row_blocks, tl.program_id(0) // row_blocks
    i_n, i_b = i_block % blocks, (i_block // blocks).to(tl.int64)
    o_s, o_n = i_s * BLOCK_R + tl.arange(0, BLOCK_R), i_n * BLOCK_N + tl.arange(0, BLOCK_N)
    m_s, m_n = o_s < S, o_n < N
    shown = tl.load(p_shown + i_b * S + o_s, mask=m_s, other=0) != 0
    # Inverse norms are needed of every patch, so the first block of sentences works even where all are hidden.
    if (i_s == 0) | (tl.max(shown.to(tl.int32), 0) > 0):
        p_s, p_p = p_sentences + i_b * S * E + o_s[:, None] * E, p_patches + i_b * N * E + o_n[:, None] * E
        b_dot = tl.zeros((BLOCK_R, BLOCK_N), tl.float32)
        b_square = tl.zeros((BLOCK_N,), tl.float32)
        for start in range(0, E, BLOCK_E):
            o_e = start + tl.arange(0, BLOCK_E)
            m_e = o_e < E
            b_s = tl.load(p_s + o_e[None, :], mask=shown[:, None] & m_e[None, :], other=0)
            b_p = tl.load(p_p + o_e[None, :], mask=m_n[:, None] & m_e[None, :], other=0)
            b_square += tl.sum(b_p.to(tl.float32) * b_p.to(tl.float32), 1)
            b_dot = tl.dot(b_s.to(DTYPE), tl.trans(b_p.to(DTYPE)), b_dot, input_precision=PRECISION)
            # Used within the loop, a product is waited for. Otherwise the next patches would be written over those that
            # it still reads: of a tile with two uses, Triton 3.6 to 3.9 holds one buffer too few (triton#7110).
            b_dot += 0.0
        tl.store(p_products + (i_b * S + o_s)[:, None] * N + o_n[None, :], b_dot, mask=shown[:, None] & m_n[None, :])
        tl.store(p_inverse_n + i_b * N + o_n, inverse_norm(b_square), mask=m_n & (i_s == 0))


def study_products(sentences: Tensor, patches: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
    """Products of all pairs within a study, and 1 / norm of the patches.

    Args:
        sentences: [B, S, E], S and B above 0.
        patches: [B, N, E].
        shown: [B, S] bool.

    Returns:
        [B, S, N] and [B, N], both fp32; products of hidden sentences are not defined.
    """
    (B, S, E), N = sentences.shape, patches.shape[1]
    products = torch.empty(B, S, N, dtype=torch.float32, device=patches.device)
    inverse_n = torch.empty(B, N, dtype=torch.float32, device=patches.device)
    arguments = _arguments(sentences, patches)
    row_blocks, blocks = cdiv(S, arguments["BLOCK_R"]), cdiv(N, arguments["BLOCK_N"])
    with on(patches.device):
        _sentence_patch_topk_product_kernel[(row_blocks * blocks * B,)](
            sentences, patches, shown, products, inverse_n, S, N, E, row_blocks, blocks, **arguments
        )  # fmt: skip
    return products, inverse_n


def _arguments(sentences: Tensor, patches: Tensor) -> dict[str, Any]:
    """What the kernel is compiled with: the same for any number of sentences, so that a run compiles it once."""
    arch = architecture(sentences.device)
    arguments = {
        "BLOCK_N": 128,
        "BLOCK_E": 32 if patches.dtype == torch.float32 else 64,
        "DTYPE": getattr(tl, str(lower_dtype(sentences, patches)).removeprefix("torch.")),
        "PRECISION": dot_precision(),
        "num_warps": 8,
        "num_stages": 3,
        "maxnreg": MOST_REGISTERS,
    }
    if arch not in (90, 100) or lower_dtype(sentences, patches) == torch.float32:
        return {**arguments, "BLOCK_R": 32}  # more would spill
    if arch == 90:
        # With 128 registers two programs fit a multiprocessor; Triton 3.9 needs more.
        arguments |= {"num_stages": 4, "maxnreg": 128 if triton_version() < (3, 9) else 168}
    return {**arguments, "BLOCK_R": 64}
