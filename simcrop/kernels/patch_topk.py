# pyright: basic, reportInvalidTypeForm=false
"""The k patches most similar to each sentence, their cosines and their mean.

Two kernels. The first reads every patch once and keeps the best K of each block of patches as 64-bit keys; the second
merges a sentence's keys, and averages the patches that won. Registered as a custom op, for the reasons given in
patch_embed.py.

Shapes: B studies, S sentences, N patches, E features, k asked for, K = k padded to a power of two.
"""

import torch
from torch import Tensor

from simcrop.core.op_checks import check_pairs, check_same_studies
from simcrop.core.ops import TopK
from simcrop.kernels.cosines import (
    BLOCK_N,
    best_of_block,
    block_arguments,
    check_features,
    choice_gradients,
    inverse_norms,
    unpack,
)
from simcrop.kernels.support import cdiv, on, power_of_two, require, tl, triton


@triton.jit
def _sentence_patch_topk_block_kernel(
    p_sentences,  # [B, S, E]
    p_patches,  # [B, N, E]
    p_shown,  # [B, S] bool
    p_inverse_s,  # [B, S] fp32
    p_inverse_n,  # [B, N] fp32, out
    p_keys,  # [B, S, blocks, K] int64, out
    S,
    N,
    E,
    blocks,
    DTYPE: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_E: tl.constexpr,
    K: tl.constexpr,
):
    i_n, i_s, i_b = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    o_s = i_s * BLOCK_R + tl.arange(0, BLOCK_R)
    m_s = o_s < S
    shown = tl.load(p_shown + i_b * S + o_s, mask=m_s, other=0)
    # Inverse norms are needed of every patch, so the first block of sentences works even where all are hidden.
    if (i_s == 0) | (tl.max(shown.to(tl.int32), 0) > 0):
        keys = best_of_block(
            p_sentences + i_b * S * E,
            p_patches + i_b * N * E,
            o_s,
            m_s & (shown != 0),
            tl.load(p_inverse_s + i_b * S + o_s, mask=m_s, other=0),
            p_inverse_n + i_b * N,
            i_n * BLOCK_N,
            N,
            E,
            DTYPE,
            PRECISION,
            True,
            BLOCK_R,
            BLOCK_N,
            BLOCK_E,
            K,
        )
        o_row = ((i_b * S + o_s) * blocks + i_n) * K
        tl.store(p_keys + o_row[:, None] + tl.arange(0, K)[None, :], keys, mask=m_s[:, None])


@triton.jit
def _sentence_patch_topk_mean_kernel(
    p_keys,  # [B * S, candidates] int64
    p_patches,  # [B, N, E]
    p_shown,  # [B * S] bool
    p_aligned,  # [B * S, E], out
    p_scores,  # [B * S, k] fp32, out
    p_indices,  # [B * S, k] int64, out
    S,
    N,
    E,
    k,
    candidates,
    BLOCK_C: tl.constexpr,
    BLOCK_E: tl.constexpr,
    K: tl.constexpr,
):
    i_row = tl.program_id(0).to(tl.int64)
    o_k = tl.arange(0, K)
    m_k = o_k < k
    shown = tl.load(p_shown + i_row) != 0
    scores, index = tl.zeros((K,), tl.float32), tl.zeros((K,), tl.int32)
    if shown:
        o_c = tl.arange(0, BLOCK_C)
        keys = tl.load(p_keys + i_row * candidates + o_c, mask=o_c < candidates, other=-0x7FFFFFFFFFFFFFFF)
        scores, index = unpack(tl.topk(keys, K))
    tl.store(p_scores + i_row * k + o_k, scores, mask=m_k)
    tl.store(p_indices + i_row * k + o_k, index.to(tl.int64), mask=m_k)
    first = (i_row // S) * N
    for start in range(0, E, BLOCK_E):
        o_e = start + tl.arange(0, BLOCK_E)
        m_e = o_e < E
        p_tile = p_patches + (first + index)[:, None] * E + o_e[None, :]
        b_patch = tl.load(p_tile, mask=(m_k & shown)[:, None] & m_e[None, :], other=0).to(tl.float32)
        b_mean = tl.sum(b_patch, 0) / k
        tl.store(p_aligned + i_row * E + o_e, b_mean.to(p_aligned.dtype.element_ty), mask=m_e)


@torch.library.custom_op("simcrop::sentence_patch_topk", mutates_args=())
def _topk(sentences: Tensor, patches: Tensor, shown: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """aligned, scores, indices, and for the backward pass 1 / norm of sentences and of patches."""
    (B, S, E), N = sentences.shape, patches.shape[1]
    device = sentences.device
    aligned = torch.zeros(B, S, E, dtype=patches.dtype, device=device)
    scores = torch.zeros(B, S, k, dtype=torch.float32, device=device)
    indices = torch.zeros(B, S, k, dtype=torch.int64, device=device)
    inverse_s = inverse_norms(sentences)
    inverse_n = torch.zeros(B, N, dtype=torch.float32, device=device)
    if not aligned.numel():
        return aligned, scores, indices, inverse_s, inverse_n
    blocks, arguments = cdiv(N, BLOCK_N), block_arguments(sentences, patches, k, S)
    K, candidates = arguments["K"], power_of_two(blocks * arguments["K"])
    num_warps = max(4, min(16, candidates // 256))
    keys = torch.empty(B, S, blocks * K, dtype=torch.int64, device=device)
    with on(device):
        _sentence_patch_topk_block_kernel[(blocks, cdiv(S, arguments["BLOCK_R"]), B)](
            sentences, patches, shown, inverse_s, inverse_n, keys, S, N, E, blocks, **arguments
        )  # fmt: skip
        _sentence_patch_topk_mean_kernel[(B * S,)](
            keys, patches, shown, aligned, scores, indices, S, N, E, k, blocks * K,
            BLOCK_C=candidates, BLOCK_E=max(64, 8192 // K), K=K,
            num_warps=num_warps, maxnreg=min(255, 2048 // num_warps),
        )  # fmt: skip
    return aligned, scores, indices, inverse_s, inverse_n


@torch.library.custom_op("simcrop::sentence_patch_topk_gradient", mutates_args=())
def _gradient(
    sentences: Tensor,
    patches: Tensor,
    shown: Tensor,
    inverse_s: Tensor,
    inverse_n: Tensor,
    indices: Tensor,
    grad_aligned: Tensor | None,
    grad_scores: Tensor | None,
    to_sentences: bool,
    to_patches: bool,
) -> tuple[Tensor, Tensor]:
    B, S, k = indices.shape
    N = patches.shape[1]
    first = torch.arange(B, device=indices.device)[:, None, None] * N
    grad_s, grad_p = choice_gradients(
        sentences.flatten(0, 1),
        patches.flatten(0, 1),
        inverse_s.flatten(),
        inverse_n.flatten(),
        (indices + first).int().flatten(0, 1),
        shown.flatten(),
        of_cosines=None if grad_scores is None else grad_scores.float().contiguous().flatten(0, 1),
        of_mean=None if grad_aligned is None else grad_aligned.contiguous().flatten(0, 1),
        share=1.0 / k,
        to_sentences=to_sentences,
        to_patches=to_patches,
    )
    return (
        grad_s.unflatten(0, (B, S)) if to_sentences else grad_s,
        grad_p.unflatten(0, (B, N)) if to_patches else grad_p,
    )


@_topk.register_fake
def _(sentences, patches, shown, k):
    B, S, _ = sentences.shape
    fp32 = {"dtype": torch.float32}
    return (
        patches.new_empty(B, S, patches.shape[2]),
        sentences.new_empty(B, S, k, **fp32),
        sentences.new_empty(B, S, k, dtype=torch.int64),
        sentences.new_empty(B, S, **fp32),
        sentences.new_empty(B, patches.shape[1], **fp32),
    )


@_gradient.register_fake
def _(sentences, patches, shown, inverse_s, inverse_n, indices, grad_aligned, grad_scores, to_sentences, to_patches):
    nothing = patches.new_empty(0, patches.shape[2])
    return (
        torch.empty_like(sentences) if to_sentences else sentences.new_empty(0, sentences.shape[2]),
        torch.empty_like(patches) if to_patches else nothing,
    )


def _save(ctx, inputs, output):
    sentences, patches, shown, _ = inputs
    _, _, indices, inverse_s, inverse_n = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(indices, inverse_s, inverse_n)
    ctx.save_for_backward(sentences, patches, shown, inverse_s, inverse_n, indices)


def _backward(ctx, grad_aligned, grad_scores, *_):
    to_sentences, to_patches, *_ = ctx.needs_input_grad
    to_sentences = to_sentences and grad_scores is not None
    if grad_aligned is None and grad_scores is None:
        return None, None, None, None
    grad_s, grad_p = _gradient(*ctx.saved_tensors, grad_aligned, grad_scores, to_sentences, to_patches)
    return grad_s if to_sentences else None, grad_p if to_patches else None, None, None


_topk.register_autograd(_backward, setup_context=_save)


def sentence_patch_topk(sentences: Tensor, patches: Tensor, *, k: int, sentence_mask: Tensor | None = None) -> TopK:
    """Mean of the k patches whose cosine with each sentence is highest.

    Arguments and result are those of `simcrop.core.reference.sentence_patch_topk`; cosines are products in the lower of
    the two dtypes, summed in fp32. Once differentiable, without atomics.

    Raises:
        InputError: naming the argument that does not fit, or a dtype without a kernel (float64).
        BackendError: no kernel can run here, with the reasons.
    """
    check_pairs(sentences, patches, k, sentence_mask)
    check_same_studies(sentences, patches)
    check_features("patches", patches)
    require(sentences.device, sentences=sentences, patches=patches)
    shown = sentences.new_ones(sentences.shape[:2], dtype=torch.bool) if sentence_mask is None else sentence_mask
    return TopK(*_topk(sentences.contiguous(), patches.contiguous(), shown.contiguous(), k)[:3])
