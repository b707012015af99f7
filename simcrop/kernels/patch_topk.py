# pyright: basic, reportInvalidTypeForm=false
"""The k patches most similar to each sentence, their cosines and their mean.

Two kernels. The first reads every patch once, for its products with all sentences of its study and for its norm; the
second chooses a sentence's best patches, and averages them. Registered as a custom op, for the reasons given in
patch_embed.py.

Shapes: B studies, S sentences, N patches, E features, k asked for, K = k padded to a power of two.
"""

import torch
from torch import Tensor

from simcrop.core.op_checks import check_chosen, check_same_studies
from simcrop.core.ops import TopK
from simcrop.kernels.choice_gradients import Choice
from simcrop.kernels.cosines import check_features, inverse_norm
from simcrop.kernels.selection import best_of_row, index_of, score_of, selection_arguments
from simcrop.kernels.study_products import study_products
from simcrop.kernels.support import MOST_REGISTERS, on, require, tl, triton


@triton.jit(do_not_specialize=["S", "rows"])
def _sentence_patch_topk_choice_kernel(
    p_products,  # [B * S, N] fp32
    p_sentences,  # [B * S, E]
    p_patches,  # [B, N, E]
    p_shown,  # [B * S] bool
    p_inverse_n,  # [B, N] fp32
    p_inverse_s,  # [B * S] fp32, out
    p_aligned,  # [B * S, E], out
    p_scores,  # [B * S, k] fp32, out
    p_indices,  # [B * S, k] int64, out
    rows,
    S,
    N,
    E,
    k,
    G: tl.constexpr,
    M: tl.constexpr,
    K: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    # The last rows first: their patches were read last, and are still in the cache.
    i_row = rows - 1 - tl.program_id(0)
    first, i_row = (i_row // S).to(tl.int64) * N, i_row.to(tl.int64)
    o_k = tl.arange(0, K)
    m_k = o_k < k
    shown = tl.load(p_shown + i_row) != 0
    inverse = 0.0
    scores, index = tl.zeros((K,), tl.float32), tl.zeros((K,), tl.int32)
    if shown:
        square = 0.0
        for start in range(0, E, 512):
            o_e = start + tl.arange(0, 512)
            b_s = tl.load(p_sentences + i_row * E + o_e, mask=o_e < E, other=0).to(tl.float32)
            square += tl.sum(b_s * b_s, 0)
        inverse = inverse_norm(square)
        keys = best_of_row(p_products + i_row * N, p_inverse_n + first, inverse, N, G, M, K)
        scores, index = score_of(keys), index_of(keys)
    tl.store(p_inverse_s + i_row, inverse)
    tl.store(p_scores + i_row * k + o_k, scores, mask=m_k)
    tl.store(p_indices + i_row * k + o_k, index.to(tl.int64), mask=m_k)
    p_rows = p_patches + (first + index)[:, None] * E
    for start in range(0, E, BLOCK_E):
        o_e = start + tl.arange(0, BLOCK_E)
        m_e = o_e < E
        b_patch = tl.load(p_rows + o_e[None, :], mask=(m_k & shown)[:, None] & m_e[None, :], other=0).to(tl.float32)
        b_mean = tl.sum(b_patch, 0) / k
        tl.store(p_aligned + i_row * E + o_e, b_mean.to(p_aligned.dtype.element_ty), mask=m_e)


@torch.library.custom_op("simcrop::sentence_patch_topk", mutates_args=())
def _topk(sentences: Tensor, patches: Tensor, shown: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """aligned, scores, indices, and for the backward pass 1 / norm of sentences and of patches."""
    (B, S, E), N = sentences.shape, patches.shape[1]
    device = sentences.device
    new = torch.empty if B * S * E else torch.zeros
    aligned = new(B, S, E, dtype=patches.dtype, device=device)
    scores = new(B, S, k, dtype=torch.float32, device=device)
    indices = new(B, S, k, dtype=torch.int64, device=device)
    inverse_s = new(B, S, dtype=torch.float32, device=device)
    if not aligned.numel():
        return aligned, scores, indices, inverse_s, new(B, N, dtype=torch.float32, device=device)
    products, inverse_n = study_products(sentences, patches, shown)
    choice = selection_arguments(N, k)
    if patches.dtype == torch.float32:
        choice["maxnreg"] = MOST_REGISTERS  # of wide features the mean needs more
    with on(device):
        _sentence_patch_topk_choice_kernel[(B * S,)](
            products, sentences, patches, shown, inverse_n, inverse_s, aligned, scores, indices, B * S, S, N, E, k,
            BLOCK_E=max(64, 2048 * choice["num_warps"] // choice["K"]), **choice,
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
    choice = Choice(
        sentences.flatten(0, 1),
        patches,
        inverse_s.flatten(),
        inverse_n,
        indices.view(B * S, 1, k),
        shown.flatten(),
        num_sentences=S,
    )
    of_cosines = None if grad_scores is None else grad_scores.float().contiguous().flatten(0, 1)
    of_mean = None if grad_aligned is None else grad_aligned.contiguous().flatten(0, 1)
    grad_s, grad_p = sentences.new_empty(0, sentences.shape[2]), patches.new_empty(0, patches.shape[2])
    if to_sentences:
        grad_s = torch.zeros_like(choice.sentences) if of_cosines is None else choice.gradient_of_sentences(of_cosines)
        grad_s = grad_s.unflatten(0, (B, S))
    if to_patches:
        grad_p = choice.gradient_of_patches(of_cosines, of_mean, 1.0 / k)
    return grad_s, grad_p


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
    check_chosen(sentences, patches, k, sentence_mask)
    check_same_studies(sentences, patches)
    check_features("patches", patches)
    require(sentences.device, sentences=sentences, patches=patches)
    shown = sentences.new_ones(sentences.shape[:2], dtype=torch.bool) if sentence_mask is None else sentence_mask
    return TopK(*_topk(sentences.contiguous(), patches.contiguous(), shown.contiguous(), k)[:3])
