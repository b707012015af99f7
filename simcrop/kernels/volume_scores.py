# pyright: basic, reportInvalidTypeForm=false
"""The mean of the k best cosines of every sentence against every volume's patches, for late interaction and retrieval.

Products of all pairs are never stored at once. cuBLAS computes those of a few volumes, which stay in the GPU's cache
until a second kernel has chosen the best. Registered as a custom op, for the reasons given in patch_embed.py.

Shapes: Bs studies of S sentences, R = Bs * S; Bv volumes of N patches; E features; k asked for, K = k padded.
"""

import torch
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.core.op_checks import check_chosen
from simcrop.kernels.choice_gradients import Choice
from simcrop.kernels.cosines import check_features, inverse_norms, lower_dtype
from simcrop.kernels.dense import dense_product
from simcrop.kernels.selection import best_of_row, index_of, score_of, selection_arguments
from simcrop.kernels.support import on, require, tl, triton

_MOST_ROWS, _MOST_PRODUCTS = 512, 7 * 2**20
"""Of a chunk: 29 MB, so that many programs choose at once; within the cache, and the 32 MB that the contract allows."""


@triton.jit(do_not_specialize=["S", "first_row", "first_volume", "num_volumes"])
def _sentence_volume_scores_choice_kernel(
    p_products,  # [rows, num_volumes, N] fp32
    p_shown,  # [R] bool
    p_inverse_r,  # [R] fp32
    p_inverse_n,  # [Bv, N] fp32
    p_scores,  # [Bs, Bv, S] fp32, out
    p_winners,  # [R, Bv, k] int32, out: patches of the volume
    first_row,
    first_volume,
    num_volumes,
    Bv,
    S,
    N,
    k,
    KEEP: tl.constexpr,
    G: tl.constexpr,
    M: tl.constexpr,
    K: tl.constexpr,
):
    i_pair = tl.program_id(0)
    row, i_v = first_row + i_pair // num_volumes, (first_volume + i_pair % num_volumes).to(tl.int64)
    i_r = row.to(tl.int64)
    o_k = tl.arange(0, K)
    m_k = o_k < k
    mean = 0.0
    winners = tl.zeros((K,), tl.int32)
    if tl.load(p_shown + i_r) != 0:
        inverse = tl.load(p_inverse_r + i_r)
        keys = best_of_row(p_products + i_pair.to(tl.int64) * N, p_inverse_n + i_v * N, inverse, N, G, M, K)
        mean = tl.sum(tl.where(m_k, score_of(keys), 0.0), 0) / k
        winners = index_of(keys)
    tl.store(p_scores + ((row // S) * Bv + i_v) * S + row % S, mean)
    if KEEP:
        tl.store(p_winners + (i_r * Bv + i_v) * k + o_k, winners, mask=m_k)


@torch.library.custom_op("simcrop::sentence_volume_scores", mutates_args=())
def _scores(
    sentences: Tensor, patches: Tensor, shown: Tensor, k: int, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores; and, to `keep` for a backward pass, winners [R, Bv, k], and 1 / norm of sentences and of patches."""
    (Bs, S, E), Bv = sentences.shape, patches.shape[0]
    new = torch.empty if E else torch.zeros
    scores = new(Bs, Bv, S, dtype=torch.float32, device=sentences.device)
    winners = new((Bs * S if keep else 0), Bv, k, dtype=torch.int32, device=sentences.device)
    inverse_r, inverse_n = inverse_norms(sentences), inverse_norms(patches)
    if scores.numel() and E:
        with on(sentences.device):
            _score_in_chunks(sentences, patches, shown, inverse_r, inverse_n, scores, winners)
    return scores, winners, inverse_r, inverse_n


def _score_in_chunks(
    sentences: Tensor,
    patches: Tensor,
    shown: Tensor,
    inverse_r: Tensor,
    inverse_n: Tensor,
    scores: Tensor,
    winners: Tensor,
) -> None:
    """Write scores and winners, a chunk of products at a time."""
    (Bv, N, _), S, k = patches.shape, sentences.shape[1], winners.shape[2]
    dtype = lower_dtype(sentences, patches)
    rows = sentences.flatten(0, 1).to(dtype)
    num_rows = max(1, min(rows.shape[0], _MOST_ROWS, _MOST_PRODUCTS // N))
    num_volumes = max(1, _MOST_PRODUCTS // (N * num_rows))
    for first_row in range(0, rows.shape[0], num_rows):
        for first in range(0, Bv, num_volumes):
            some, volumes = rows[first_row : first_row + num_rows], patches[first : first + num_volumes]
            # Nothing holds on to the products: the next take the same memory, which is in the cache.
            _sentence_volume_scores_choice_kernel[(some.shape[0] * volumes.shape[0],)](
                dense_product(some, volumes.flatten(0, 1).to(dtype).t()), shown, inverse_r, inverse_n, scores, winners,
                first_row, first, volumes.shape[0], Bv, S, N, k,
                KEEP=bool(winners.numel()), **selection_arguments(N, k),
            )  # fmt: skip


@torch.library.custom_op("simcrop::sentence_volume_scores_gradient", mutates_args=())
def _gradient(
    grad: Tensor,
    sentences: Tensor,
    patches: Tensor,
    shown: Tensor,
    winners: Tensor,
    inverse_r: Tensor,
    inverse_n: Tensor,
    to_sentences: bool,
    to_patches: bool,
) -> tuple[Tensor, Tensor]:
    (Bs, S, _), (_, Bv, k) = sentences.shape, winners.shape
    choice = Choice(
        sentences.flatten(0, 1), patches, inverse_r.flatten(), inverse_n, winners, shown.flatten(), num_sentences=S
    )
    of_cosines = (grad.float() / k).transpose(1, 2).reshape(Bs * S, Bv).contiguous()
    grad_s, grad_p = sentences.new_empty(0, sentences.shape[2]), patches.new_empty(0, patches.shape[2])
    if to_sentences:
        grad_s = choice.gradient_of_sentences(of_cosines).unflatten(0, (Bs, S))
    if to_patches:
        grad_p = choice.gradient_of_patches(of_cosines, None, 1.0)
    return grad_s, grad_p


@_scores.register_fake
def _(sentences, patches, shown, k, keep):
    (Bs, S, _), (Bv, N, _) = sentences.shape, patches.shape
    fp32 = {"dtype": torch.float32}
    return (
        sentences.new_empty(Bs, Bv, S, **fp32),
        sentences.new_empty((Bs * S if keep else 0), Bv, k, dtype=torch.int32),
        sentences.new_empty(Bs, S, **fp32),
        sentences.new_empty(Bv, N, **fp32),
    )


@_gradient.register_fake
def _(grad, sentences, patches, shown, winners, inverse_r, inverse_n, to_sentences, to_patches):
    return (
        torch.empty_like(sentences) if to_sentences else sentences.new_empty(0, sentences.shape[2]),
        torch.empty_like(patches) if to_patches else patches.new_empty(0, patches.shape[2]),
    )


def _save(ctx, inputs, output):
    sentences, patches, shown, _, _ = inputs
    _, winners, inverse_r, inverse_n = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(winners, inverse_r, inverse_n)
    ctx.save_for_backward(sentences, patches, shown, winners, inverse_r, inverse_n)


def _backward(ctx, grad, *_):
    to_sentences, to_patches, *_ = ctx.needs_input_grad
    if grad is None:
        return None, None, None, None, None
    grad_s, grad_p = _gradient(grad, *ctx.saved_tensors, to_sentences, to_patches)
    return grad_s if to_sentences else None, grad_p if to_patches else None, None, None, None


_scores.register_autograd(_backward, setup_context=_save)


def sentence_volume_scores(
    sentences: Tensor, patches: Tensor, *, k: int, sentence_mask: Tensor | None = None
) -> Tensor:
    """Score each sentence in each volume: the mean of its k best cosines there.

    Arguments and result are those of `simcrop.core.reference.sentence_volume_scores`; cosines are products in the lower
    of the two dtypes, summed in fp32. Once differentiable, through the winners, without atomics.

    Raises:
        InputError: naming the argument that does not fit, a dtype without a kernel (float64), or 2^31 winners to keep.
        BackendError: no kernel can run here, with the reasons.
    """
    check_chosen(sentences, patches, k, sentence_mask)
    check_features("patches", patches)
    require(sentences.device, sentences=sentences, patches=patches)
    shown = sentences.new_ones(sentences.shape[:2], dtype=torch.bool) if sentence_mask is None else sentence_mask
    keep = torch.is_grad_enabled() and (sentences.requires_grad or patches.requires_grad)
    winners = shown.numel() * patches.shape[0] * k
    if keep and winners >= 2**31:
        raise InputError(f"sentences: {winners} winners to keep for a gradient, 2^31 or more; take fewer at a time")
    return _scores(sentences.contiguous(), patches.contiguous(), shown.contiguous(), k, keep)[0]
