# pyright: basic, reportInvalidTypeForm=false
"""Score sentences in volumes with one kernel: a program takes a block of sentences through all patches of one volume.

It keeps the best K of each sentence as keys, sorted; products are never stored.

Shapes: Bs studies of S sentences, R = Bs * S; Bv volumes of N patches; E features; k asked for, K = k padded.
"""

import torch
from torch import Tensor

from simcrop.kernels.cosines import block_products, lower_dtype, product_arguments
from simcrop.kernels.selection import index_of, merge, order, pack, padded, score_of
from simcrop.kernels.support import architecture, cdiv, tl, triton


@triton.jit(do_not_specialize=["R", "S", "row_blocks"])
def _sentence_volume_scores_fwd_kernel(
    p_sentences,  # [R, E]
    p_patches,  # [Bv, N, E]
    p_shown,  # [R] bool
    p_inverse_r,  # [R] fp32
    p_inverse_n,  # [Bv, N] fp32
    p_scores,  # [Bs, Bv, S] fp32, out
    p_winners,  # [R, Bv, k] int32, out: rows of all patches
    R,
    Bv,
    S,
    N,
    E,
    k,
    row_blocks,
    KEEP: tl.constexpr,
    DTYPE: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_E: tl.constexpr,
    K: tl.constexpr,
):
    i_r, i_v = tl.program_id(0) % row_blocks, (tl.program_id(0) // row_blocks).to(tl.int64)
    o_r = (i_r * BLOCK_R + tl.arange(0, BLOCK_R)).to(tl.int64)
    m_r = o_r < R
    shown = tl.load(p_shown + o_r, mask=m_r, other=0) != 0
    best = tl.full((BLOCK_R, K), -0x7FFFFFFFFFFFFFFF, tl.int64)
    if tl.max(shown.to(tl.int32), 0) > 0:
        inverse_r = tl.load(p_inverse_r + o_r, mask=m_r, other=0)
        for first in range(0, N, BLOCK_N):
            o_n = first + tl.arange(0, BLOCK_N)
            m_n = o_n < N
            b_dot, _ = block_products(
                p_sentences,
                p_patches + i_v * N * E,
                o_r,
                shown,
                o_n,
                m_n,
                E,
                DTYPE,
                PRECISION,
                False,
                BLOCK_R,
                BLOCK_N,
                BLOCK_E,
            )
            inverse_n = tl.load(p_inverse_n + i_v * N + o_n, mask=m_n, other=0)
            keys = pack(order(b_dot * inverse_r[:, None] * inverse_n[None, :]), o_n[None, :])
            best = merge(best, tl.topk(tl.where(m_n[None, :], keys, -0x7FFFFFFFFFFFFFFF), K))
    o_k = tl.arange(0, K)
    chosen = shown[:, None] & (o_k < k)[None, :]
    mean = tl.sum(tl.where(chosen, score_of(best), 0.0), 1) / k
    tl.store(p_scores + (o_r // S * Bv + i_v) * S + o_r % S, mean, mask=m_r)
    if KEEP:
        row = tl.where(chosen, i_v.to(tl.int32) * N + index_of(best), 0)
        tl.store(p_winners + (o_r * Bv + i_v)[:, None] * k + o_k[None, :], row, mask=m_r[:, None] & (o_k < k)[None, :])


def scores_fused(
    sentences: Tensor,
    patches: Tensor,
    shown: Tensor,
    inverse_r: Tensor,
    inverse_n: Tensor,
    scores: Tensor,
    winners: Tensor,
) -> None:
    """Write scores and winners, with one kernel.

    Args:
        sentences: [Bs, S, E].
        patches: [Bv, N, E].
        shown: [Bs, S] bool.
        inverse_r, inverse_n: 1 / norm of sentences and of patches, fp32.
        scores: [Bs, Bv, S] fp32.
        winners: [R, Bv, k] int32, rows of all patches; [0, Bv, k] where they need not be kept.
    """
    (Bs, S, E), (Bv, N, _), k = sentences.shape, patches.shape, winners.shape[2]
    arguments = product_arguments(sentences, patches)
    block = _block_of_sentences(sentences, patches, k)
    row_blocks = cdiv(Bs * S, block)
    _sentence_volume_scores_fwd_kernel[(row_blocks * Bv,)](
        sentences, patches, shown, inverse_r, inverse_n, scores, winners, Bs * S, Bv, S, N, E, k, row_blocks,
        KEEP=bool(winners.numel()), BLOCK_R=block, K=padded(k), **arguments,
    )  # fmt: skip


def _block_of_sentences(sentences: Tensor, patches: Tensor, k: int) -> int:
    """As many as registers and shared memory let a program take."""
    rows = {128: 16, 64: 32}.get(padded(k), 64)
    if lower_dtype(sentences, patches) == torch.float32 or architecture(sentences.device) != 90:
        return max(16, rows // 2)
    return rows
