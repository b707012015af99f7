# pyright: basic, reportInvalidTypeForm=false
"""The log-sum-exp of the cosines of every sentence with every volume's patches, and its gradients.

Products of all pairs are never stored at once. cuBLAS computes those of a few volumes, and a kernel reduces them to
scores. A backward pass computes them again, and a kernel makes them weights, which cuBLAS multiplies by the features.
Registered as a custom op, for the reasons given in patch_embed.py.

Shapes: Bs studies of S sentences, R = Bs * S; Bv volumes of N patches; E features.
"""

import torch
from torch import Tensor

from simcrop.core.op_checks import check_soft
from simcrop.kernels.cosines import check_features, inverse_norms, lower_dtype
from simcrop.kernels.dense import dense_product
from simcrop.kernels.support import on, require, tl, triton

_MOST_ROWS, MOST_PRODUCTS = 512, 7 * 2**19
"""Of a chunk: 15 MB, and 29 MB with the weights of a backward pass."""
_MOST_PATCHES = 2**15
"""Of a chunk that spans several volumes: a sum over more of them loses what fp32 can tell, and needs as many rows."""
_BLOCK = 1024
"""Patches that a program reads at once."""


@triton.jit
def _cosines(p_products, p_inverse_n, inverse_r, o_n, m_n):
    """Cosines of a sentence, -1 for a zero patch; and 1 / norm of the patches. A NaN product stays NaN."""
    b_product = tl.load(p_products + o_n, mask=m_n, other=0)
    b_inverse = tl.load(p_inverse_n + o_n, mask=m_n, other=0)
    is_zero = (b_inverse == 0.0) & (b_product == 0.0)
    return tl.where(is_zero, -1.0, b_product * inverse_r * b_inverse), b_inverse


@triton.jit(do_not_specialize=["S", "first_row", "first_volume", "num_volumes"])
def _soft_volume_scores_kernel(
    p_products,  # [rows, num_volumes, N] fp32
    p_inverse_r,  # [R] fp32
    p_inverse_n,  # [Bv, N] fp32
    p_scores,  # [Bs, Bv, S] fp32, out
    first_row,
    first_volume,
    num_volumes,
    Bv,
    S,
    N,
    temperature,
    BLOCK: tl.constexpr,
):
    i_pair = tl.program_id(0)
    row, i_v = first_row + i_pair // num_volumes, (first_volume + i_pair % num_volumes).to(tl.int64)
    inverse_r = tl.load(p_inverse_r + row)
    largest, total = -float("inf"), 0.0
    for start in range(0, N, BLOCK):
        o_n = start + tl.arange(0, BLOCK)
        m_n = o_n < N
        b_cosine, _ = _cosines(p_products + i_pair.to(tl.int64) * N, p_inverse_n + i_v * N, inverse_r, o_n, m_n)
        b_cosine = tl.where(m_n, b_cosine, -float("inf"))
        before = largest
        largest = tl.maximum(before, tl.max(b_cosine, 0))
        total = total * tl.exp((before - largest) / temperature)
        total += tl.sum(tl.exp((b_cosine - largest) / temperature), 0)
    score = largest + temperature * tl.log(total / N)
    tl.store(p_scores + ((row // S) * Bv + i_v) * S + row % S, score)


@triton.jit(do_not_specialize=["S", "first_row", "first_volume", "num_volumes"])
def _soft_volume_scores_bwd_kernel(
    p_products,  # [rows, num_volumes, N] fp32
    p_inverse_r,  # [R] fp32
    p_inverse_n,  # [Bv, N] fp32
    p_scores,  # [Bs, Bv, S] fp32
    p_grad,  # [Bs, Bv, S] fp32
    p_weights,  # [rows, num_volumes, N], out: the gradient of the products
    first_row,
    first_volume,
    num_volumes,
    Bv,
    S,
    N,
    temperature,
    BLOCK: tl.constexpr,
):
    i_pair = tl.program_id(0)
    row, i_v = first_row + i_pair // num_volumes, (first_volume + i_pair % num_volumes).to(tl.int64)
    inverse_r = tl.load(p_inverse_r + row)
    i_score = ((row // S) * Bv + i_v) * S + row % S
    score, share = tl.load(p_scores + i_score), tl.load(p_grad + i_score) * inverse_r / N
    for start in range(0, N, BLOCK):
        o_n = start + tl.arange(0, BLOCK)
        m_n = o_n < N
        i_products = i_pair.to(tl.int64) * N
        b_cosine, b_inverse = _cosines(p_products + i_products, p_inverse_n + i_v * N, inverse_r, o_n, m_n)
        b_weight = share * b_inverse * tl.exp((b_cosine - score) / temperature)
        tl.store(p_weights + i_products + o_n, b_weight.to(p_weights.dtype.element_ty), mask=m_n)


@torch.library.custom_op("simcrop::soft_volume_scores", mutates_args=())
def _scores(sentences: Tensor, patches: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, and 1 / norm of sentences and of patches."""
    (Bs, S, _), (Bv, N, _) = sentences.shape, patches.shape
    scores = torch.empty(Bs, Bv, S, dtype=torch.float32, device=sentences.device)
    inverse_r, inverse_n = inverse_norms(sentences), inverse_norms(patches)
    dtype = lower_dtype(sentences, patches)
    rows = sentences.flatten(0, 1).to(dtype)
    in_rows, in_volumes = _chunks(rows.shape[0], Bv, N)
    with on(sentences.device):
        for volume in in_volumes:
            some = patches[volume : volume + in_volumes.step]
            features = some.flatten(0, 1).to(dtype)
            for row in in_rows:
                products = dense_product(rows[row : row + in_rows.step], features.t())
                _soft_volume_scores_kernel[(products.shape[0] * some.shape[0],)](
                    products, inverse_r, inverse_n, scores, row, volume, some.shape[0], Bv, S, N, temperature,
                    BLOCK=_BLOCK,
                )  # fmt: skip
    return scores, inverse_r, inverse_n


def _chunks(num_rows: int, num_volumes: int, N: int) -> tuple[range, range]:
    """First sentence and first volume of each chunk of products; the steps are the sizes of a chunk."""
    rows = max(1, min(num_rows, _MOST_ROWS, MOST_PRODUCTS // N))
    volumes = max(1, min(MOST_PRODUCTS // (N * rows), _MOST_PATCHES // N))
    return range(0, num_rows, rows), range(0, num_volumes, volumes)


@torch.library.custom_op("simcrop::soft_volume_scores_gradient", mutates_args=())
def _gradient(
    grad: Tensor,
    sentences: Tensor,
    patches: Tensor,
    scores: Tensor,
    inverse_r: Tensor,
    inverse_n: Tensor,
    temperature: float,
    to_sentences: bool,
    to_patches: bool,
) -> tuple[Tensor, Tensor]:
    (Bs, S, E), (Bv, N, _) = sentences.shape, patches.shape
    grad_p = torch.empty_like(patches) if to_patches else patches.new_empty(0, E)
    dtype = lower_dtype(sentences, patches)
    # Weights in fp16 would be lost below its smallest numbers.
    weights_dtype = dtype if dtype == torch.bfloat16 else torch.float32
    rows, grad = sentences.flatten(0, 1).to(dtype), grad.float().contiguous()
    sums_r = torch.zeros(Bs * S, E, dtype=torch.float32, device=sentences.device)
    saved, (in_rows, in_volumes) = (inverse_r, inverse_n, scores), _chunks(Bs * S, Bv, N)
    with on(sentences.device):
        for volume in in_volumes:
            chunk = slice(volume, volume + in_volumes.step)
            features = patches[chunk].flatten(0, 1).to(dtype)
            sums_n = torch.zeros_like(features, dtype=torch.float32)
            for row in in_rows:
                part = slice(row, row + in_rows.step)
                products = dense_product(rows[part], features.t())
                weights = _weights(products, *saved, grad, row, volume, temperature, weights_dtype)
                if to_sentences:
                    sums_r[part] += dense_product(weights, features.to(weights_dtype))
                if to_patches:
                    sums_n += dense_product(weights.t(), rows[part].to(weights_dtype))
            if to_patches:
                grad_p[chunk] = _tangent(sums_n.unflatten(0, (-1, N)), patches[chunk], inverse_n[chunk])
    if not to_sentences:
        return sentences.new_empty(0, E), grad_p
    return _tangent(sums_r.view_as(sentences), sentences, inverse_r).to(sentences.dtype), grad_p


def _weights(
    products: Tensor,
    inverse_r: Tensor,
    inverse_n: Tensor,
    scores: Tensor,
    grad: Tensor,
    first_row: int,
    first_volume: int,
    temperature: float,
    dtype: torch.dtype,
) -> Tensor:
    """The gradient of a chunk's products, of their shape."""
    (_, Bv, S), N = scores.shape, inverse_n.shape[1]
    weights = torch.empty_like(products, dtype=dtype)
    num_volumes = products.shape[1] // N
    _soft_volume_scores_bwd_kernel[(products.shape[0] * num_volumes,)](
        products, inverse_r, inverse_n, scores, grad, weights, first_row, first_volume, num_volumes, Bv, S, N,
        temperature, BLOCK=_BLOCK,
    )  # fmt: skip
    return weights


def _tangent(gradient: Tensor, rows: Tensor, inverse: Tensor) -> Tensor:
    """A gradient of rows without its part along each row, which a norm takes away."""
    unit = rows.float() * inverse[..., None]
    return gradient - unit * (gradient * unit).sum(-1, keepdim=True)


@_scores.register_fake
def _(sentences, patches, temperature):
    (Bs, S, _), (Bv, N, _) = sentences.shape, patches.shape
    return tuple(sentences.new_empty(shape, dtype=torch.float32) for shape in ((Bs, Bv, S), (Bs, S), (Bv, N)))


@_gradient.register_fake
def _(grad, sentences, patches, scores, inverse_r, inverse_n, temperature, to_sentences, to_patches):
    return (
        torch.empty_like(sentences) if to_sentences else sentences.new_empty(0, sentences.shape[2]),
        torch.empty_like(patches) if to_patches else patches.new_empty(0, patches.shape[2]),
    )


def _save(ctx, inputs, output):
    sentences, patches, ctx.temperature = inputs
    scores, inverse_r, inverse_n = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(inverse_r, inverse_n)
    ctx.save_for_backward(sentences, patches, scores, inverse_r, inverse_n)


def _backward(ctx, grad, *_):
    to_sentences, to_patches, _ = ctx.needs_input_grad
    if grad is None:
        return None, None, None
    grad_s, grad_p = _gradient(grad, *ctx.saved_tensors, ctx.temperature, to_sentences, to_patches)
    return grad_s if to_sentences else None, grad_p if to_patches else None, None


_scores.register_autograd(_backward, setup_context=_save)


def soft_volume_scores(
    sentences: Tensor, patches: Tensor, *, temperature: float, sentence_mask: Tensor | None = None
) -> Tensor:
    """Score each sentence in each volume: t * (log of the sum over its N patches of exp(cosine / t) - log N).

    Arguments and result are those of `simcrop.core.reference.soft_volume_scores`; cosines are products in the lower of
    the two dtypes, summed in fp32. Once differentiable, without atomics.

    Raises:
        InputError: naming the argument that does not fit, or a dtype without a kernel (float64).
        BackendError: no kernel can run here, with the reasons.
    """
    check_soft(sentences, patches, temperature, sentence_mask)
    check_features("patches", patches)
    require(sentences.device, sentences=sentences, patches=patches)
    if sentence_mask is None:
        return _scores(sentences.contiguous(), patches.contiguous(), float(temperature))[0]
    # Zeros in place of masked rows, for a NaN in one would reach the patches' gradient as 0 * NaN.
    shown = sentences.masked_fill(~sentence_mask[..., None], 0.0)
    scores = _scores(shown.contiguous(), patches.contiguous(), float(temperature))[0]
    return scores.masked_fill(~sentence_mask[:, None], 0.0)
