# pyright: basic, reportInvalidTypeForm=false
"""The mean of the k best cosines of every sentence against every volume's patches, for late interaction and retrieval.

A program takes a block of sentences through all patches of one volume and keeps its best K as 64-bit keys, so nothing
of the size sentences x volumes x patches is ever stored. Registered as a custom op, for the reasons given in
patch_embed.py.

Shapes: Bs studies of S sentences, R = Bs * S; Bv volumes of N patches; E features; k asked for, K = k padded.
"""

import torch
from torch import Tensor

from simcrop.core.op_checks import check_pairs
from simcrop.kernels.cosines import (
    BLOCK_N,
    best_of_block,
    block_arguments,
    check_features,
    choice_gradients,
    inverse_norms,
    merge,
    unpack,
)
from simcrop.kernels.support import cdiv, on, require, tl, triton


@triton.jit
def _sentence_volume_scores_fwd_kernel(
    p_sentences,  # [R, E]
    p_patches,  # [Bv, N, E]
    p_shown,  # [R] bool
    p_inverse_r,  # [R] fp32
    p_inverse_n,  # [Bv, N] fp32
    p_scores,  # [Bs, Bv, S] fp32, out
    p_winners,  # [R, Bv, k] int32, out: rows of all patches
    R,
    S,
    N,
    E,
    k,
    blocks,
    KEEP: tl.constexpr,
    DTYPE: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_E: tl.constexpr,
    K: tl.constexpr,
):
    i_r, i_v, volumes = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.num_programs(1)
    o_r = (i_r * BLOCK_R + tl.arange(0, BLOCK_R)).to(tl.int64)
    m_r = o_r < R
    shown = tl.load(p_shown + o_r, mask=m_r, other=0) != 0
    best = tl.full((BLOCK_R, K), -0x7FFFFFFFFFFFFFFF, tl.int64)
    if tl.max(shown.to(tl.int32), 0) > 0:
        inverse_r = tl.load(p_inverse_r + o_r, mask=m_r, other=0)
        for block in range(blocks):
            keys = best_of_block(
                p_sentences,
                p_patches + i_v * N * E,
                o_r,
                shown,
                inverse_r,
                p_inverse_n + i_v * N,
                block * BLOCK_N,
                N,
                E,
                DTYPE,
                PRECISION,
                False,
                BLOCK_R,
                BLOCK_N,
                BLOCK_E,
                K,
            )
            best = merge(best, keys)
    scores, index = unpack(best)
    o_k = tl.arange(0, K)
    chosen = shown[:, None] & (o_k < k)[None, :]
    mean = tl.sum(tl.where(chosen, scores, 0.0), 1) / k
    tl.store(p_scores + (o_r // S * volumes + i_v) * S + o_r % S, mean, mask=m_r)
    if KEEP:
        p_row = p_winners + (o_r * volumes + i_v)[:, None] * k + o_k[None, :]
        tl.store(p_row, tl.where(chosen, i_v.to(tl.int32) * N + index, 0), mask=m_r[:, None] & (o_k < k)[None, :])


@torch.library.custom_op("simcrop::sentence_volume_scores", mutates_args=())
def _scores(
    sentences: Tensor, patches: Tensor, shown: Tensor, k: int, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores; and, to `keep` for a backward pass, winners [R, Bv, k], and 1 / norm of sentences and of patches."""
    (Bs, S, E), (Bv, N, _) = sentences.shape, patches.shape
    device = sentences.device
    scores = torch.zeros(Bs, Bv, S, dtype=torch.float32, device=device)
    winners = torch.empty((Bs * S, Bv, k) if keep else (0, Bv, k), dtype=torch.int32, device=device)
    inverse_r, inverse_n = inverse_norms(sentences), inverse_norms(patches)
    if scores.numel():
        arguments = block_arguments(sentences, patches, k, Bs * S)
        with on(device):
            _sentence_volume_scores_fwd_kernel[(cdiv(Bs * S, arguments["BLOCK_R"]), Bv)](
                sentences, patches, shown, inverse_r, inverse_n, scores, winners,
                Bs * S, S, N, E, k, cdiv(N, BLOCK_N), KEEP=keep, **arguments,
            )  # fmt: skip
    return scores, winners, inverse_r, inverse_n


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
    (Bs, S, _), (Bv, N, _), k = sentences.shape, patches.shape, winners.shape[2]
    of_cosines = (grad.float() / k).transpose(1, 2)[..., None].expand(Bs, S, Bv, k)
    grad_s, grad_p = choice_gradients(
        sentences.flatten(0, 1),
        patches.flatten(0, 1),
        inverse_r.flatten(),
        inverse_n.flatten(),
        winners.flatten(1),
        shown.flatten(),
        of_cosines=of_cosines.reshape(Bs * S, Bv * k).contiguous(),  # with one volume, reshape is a view of stride 0
        of_mean=None,
        share=1.0,
        to_sentences=to_sentences,
        to_patches=to_patches,
    )
    return (
        grad_s.unflatten(0, (Bs, S)) if to_sentences else grad_s,
        grad_p.unflatten(0, (Bv, N)) if to_patches else grad_p,
    )


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
        InputError: naming the argument that does not fit, or a dtype without a kernel (float64).
        BackendError: no kernel can run here, with the reasons.
    """
    check_pairs(sentences, patches, k, sentence_mask)
    check_features("patches", patches)
    require(sentences.device, sentences=sentences, patches=patches)
    shown = sentences.new_ones(sentences.shape[:2], dtype=torch.bool) if sentence_mask is None else sentence_mask
    keep = torch.is_grad_enabled() and (sentences.requires_grad or patches.requires_grad)
    return _scores(sentences.contiguous(), patches.contiguous(), shown.contiguous(), k, keep)[0]
