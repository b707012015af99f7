# pyright: basic, reportInvalidTypeForm=false
"""Choose the best patches by cosine, and send gradients through the choice, for both sentence operations.

Scores and indices are chosen together as 64-bit keys: the high half orders like the fp32 score (NaN above all), the low
half prefers the lower index. So a sort of keys breaks ties as the contract says, and needs nothing beside it.

Shapes: R sentences of all studies in a row, V volumes, N patches a volume, E features, W winners a sentence.
"""

from typing import Any

import torch
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.kernels.support import architecture, cdiv, dot_precision, on, power_of_two, tl, triton

BLOCK_N = 128
_MAX_FEATURES = 4096


@triton.jit
def pack(scores, index):
    """Keys whose order is that of scores, then of lower index."""
    bits = tl.where(scores == 0.0, 0.0, scores).to(tl.int32, bitcast=True)  # -0.0 and 0.0 tie
    is_nan = scores != scores  # noqa: PLR0124
    order = tl.where(is_nan, 0x7FFFFFFF, bits ^ ((bits >> 31) & 0x7FFFFFFF))
    return (order.to(tl.int64) << 32) | (0x7FFFFFFF - index).to(tl.int64)


@triton.jit
def unpack(keys):
    """Scores and indices of keys."""
    order = (keys >> 32).to(tl.int32)
    bits = order ^ ((order >> 31) & 0x7FFFFFFF)
    return bits.to(tl.float32, bitcast=True), 0x7FFFFFFF - (keys & 0xFFFFFFFF).to(tl.int32)


@triton.jit
def merge(best, others):
    """The larger half of two rows [.., K] of keys, each sorted downwards; sorted downwards again."""
    # One row turned round makes the pairwise maxima bitonic: they only need merging, not sorting.
    return tl.bitonic_merge(tl.maximum(best, tl.flip(others, 1)), descending=True)


@triton.jit
def best_of_block(
    p_sentences,  # [R, E]: its row `o_r`
    p_patches,  # [N, E] of one volume
    o_r,  # [BLOCK_R] rows
    m_r,  # [BLOCK_R]
    inverse_r,  # [BLOCK_R] fp32: 1 / norm
    p_inverse,  # [N] fp32 of one volume: 1 / norm, read or written
    first,
    N,
    E,
    DTYPE: tl.constexpr,
    PRECISION: tl.constexpr,
    WRITE_INVERSE: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_E: tl.constexpr,
    K: tl.constexpr,
):
    """Keys [BLOCK_R, K] of the best of BLOCK_N patches from `first` on, sorted downwards."""
    o_n = first + tl.arange(0, BLOCK_N)
    m_n = o_n < N
    b_dot = tl.zeros((BLOCK_R, BLOCK_N), tl.float32)
    b_square = tl.zeros((BLOCK_N,), tl.float32)
    for start in range(0, E, BLOCK_E):
        o_e = start + tl.arange(0, BLOCK_E)
        m_e = o_e < E
        b_s = tl.load(p_sentences + o_r[:, None] * E + o_e[None, :], mask=m_r[:, None] & m_e[None, :], other=0)
        b_p = tl.load(p_patches + o_n[:, None] * E + o_e[None, :], mask=m_n[:, None] & m_e[None, :], other=0)
        if WRITE_INVERSE:
            b_square += tl.sum(b_p.to(tl.float32) * b_p.to(tl.float32), 1)
        b_dot = tl.dot(b_s.to(DTYPE), tl.trans(b_p.to(DTYPE)), b_dot, input_precision=PRECISION)
    if WRITE_INVERSE:
        inverse_n = inverse_norm(b_square)
        tl.store(p_inverse + o_n, inverse_n, mask=m_n)
    else:
        inverse_n = tl.load(p_inverse + o_n, mask=m_n, other=0)
    keys = pack(b_dot * inverse_r[:, None] * inverse_n[None, :], tl.broadcast_to(o_n[None, :], (BLOCK_R, BLOCK_N)))
    return tl.topk(tl.where(m_n[None, :], keys, -0x7FFFFFFFFFFFFFFF), K)


@triton.jit
def inverse_norm(square):
    """1 / max(norm, 1e-12) from squared norms; 0 for a zero row, and for NaN, as the reference has it."""
    norm = tl.sqrt(square)
    return tl.where(norm > 0.0, 1.0 / tl.maximum(norm, 1e-12), 0.0)


@triton.jit
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


@triton.jit
def _cosines_bwd_sentences_kernel(
    p_sentences,  # [R, E]
    p_patches,  # [V * N, E]
    p_inverse_r,  # [R] fp32
    p_inverse_n,  # [V * N] fp32
    p_winners,  # [R, W] int32: rows of patches
    p_gradient,  # [R, W] fp32: of the winners' cosines
    p_shown,  # [R] bool
    p_out,  # [R, E]
    E,
    W,
    BLOCK_E: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    i_r = tl.program_id(0).to(tl.int64)
    o_e = tl.arange(0, BLOCK_E)
    m_e = o_e < E
    inverse_r = tl.load(p_inverse_r + i_r)
    b_unit = tl.zeros((BLOCK_E,), tl.float32)
    if tl.load(p_shown + i_r):
        for start in range(0, W, BLOCK_W):
            o_w = start + tl.arange(0, BLOCK_W)
            m_w = o_w < W
            row = tl.load(p_winners + i_r * W + o_w, mask=m_w, other=0).to(tl.int64)
            weight = tl.load(p_gradient + i_r * W + o_w, mask=m_w, other=0) * tl.load(p_inverse_n + row)
            p_tile = p_patches + row[:, None] * E + o_e[None, :]
            b_patch = tl.load(p_tile, mask=m_w[:, None] & m_e[None, :], other=0).to(tl.float32)
            b_unit += tl.sum(b_patch * weight[:, None], 0)
        b_s = tl.load(p_sentences + i_r * E + o_e, mask=m_e, other=0).to(tl.float32) * inverse_r
        b_unit = (b_unit - tl.sum(b_unit * b_s, 0) * b_s) * inverse_r
    tl.store(p_out + i_r * E + o_e, b_unit.to(p_out.dtype.element_ty), mask=m_e)


@triton.jit
def _cosines_bwd_patches_kernel(
    p_sentences,  # [R, E]
    p_patches,  # [V * N, E]
    p_inverse_r,  # [R] fp32
    p_inverse_n,  # [V * N] fp32
    p_order,  # [R * W] int64: winners, those of one patch side by side
    p_begin,  # [V * N + 1] int64: where each patch's winners begin
    p_gradient,  # [R, W] fp32: of the winners' cosines
    p_mean_gradient,  # [R, E]: of the mean of the winners
    p_out,  # [V * N, E]
    E,
    W,
    share,
    HAS_SCORES: tl.constexpr,
    HAS_MEAN: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    i_n = tl.program_id(0).to(tl.int64)
    o_e = tl.arange(0, BLOCK_E)
    m_e = o_e < E
    b_mean = tl.zeros((BLOCK_E,), tl.float32)
    b_unit = tl.zeros((BLOCK_E,), tl.float32)
    place, end = tl.load(p_begin + i_n), tl.load(p_begin + i_n + 1)
    while place < end:
        winner = tl.load(p_order + place)
        row = winner // W
        if HAS_MEAN:
            b_mean += tl.load(p_mean_gradient + row * E + o_e, mask=m_e, other=0).to(tl.float32)
        if HAS_SCORES:
            weight = tl.load(p_gradient + winner) * tl.load(p_inverse_r + row)
            b_unit += tl.load(p_sentences + row * E + o_e, mask=m_e, other=0).to(tl.float32) * weight
        place += 1
    b_out = b_mean * share
    if HAS_SCORES:
        inverse_n = tl.load(p_inverse_n + i_n)
        b_p = tl.load(p_patches + i_n * E + o_e, mask=m_e, other=0).to(tl.float32) * inverse_n
        b_out += (b_unit - tl.sum(b_unit * b_p, 0) * b_p) * inverse_n
    tl.store(p_out + i_n * E + o_e, b_out.to(p_out.dtype.element_ty), mask=m_e)


def check_features(name: str, rows: Tensor) -> None:
    """Raise InputError where a row is longer than a program can hold."""
    if rows.shape[-1] > _MAX_FEATURES:
        raise InputError(f"{name}: {rows.shape[-1]} features; the kernels take up to {_MAX_FEATURES}")


def block_arguments(sentences: Tensor, patches: Tensor, k: int, num_rows: int) -> dict[str, Any]:
    """What `best_of_block` is compiled with; the blocks are as large as registers and shared memory let them be.

    Args:
        sentences, patches: [.., E].
        k: how many are wanted.
        num_rows: how many sentences programs can share out.

    Returns:
        K, the padded k (`tl.topk` needs a power of two above 1), block sizes, dtype and launch options.
    """
    K = max(2, power_of_two(k))
    rows = {128: 16, 64: 32}.get(K, 64)
    is_hopper = architecture(sentences.device) == 90
    lower = patches.dtype if patches.element_size() <= sentences.element_size() else sentences.dtype
    if lower == torch.float32 or not is_hopper:
        rows = max(16, rows // 2)
    return {
        "BLOCK_R": min(rows, max(16, power_of_two(max(1, num_rows)))),
        "BLOCK_N": BLOCK_N,
        "BLOCK_E": 32 if patches.dtype == torch.float32 else 64,
        "K": K,
        "DTYPE": getattr(tl, str(lower).removeprefix("torch.")),
        "PRECISION": dot_precision(),
        "num_warps": 8,
        "num_stages": 3,
        "maxnreg": 255,  # else the assembler may save registers by spilling
    }


def inverse_norms(rows: Tensor) -> Tensor:
    """1 / max(norm, 1e-12) of contiguous rows [.., E] as fp32 [..]; 0 for zero rows."""
    E, num_rows = rows.shape[-1], rows.shape[:-1].numel()
    inverse = torch.zeros(rows.shape[:-1], dtype=torch.float32, device=rows.device)
    if num_rows and E:
        with on(rows.device):
            _inverse_norm_kernel[(cdiv(num_rows, 16),)](rows, inverse, num_rows, E, BLOCK=16, BLOCK_E=256)
    return inverse


def choice_gradients(
    sentences: Tensor,
    patches: Tensor,
    inverse_r: Tensor,
    inverse_n: Tensor,
    winners: Tensor,
    shown: Tensor,
    *,
    of_cosines: Tensor | None,
    of_mean: Tensor | None,
    share: float,
    to_sentences: bool,
    to_patches: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of rows through the cosines of chosen pairs, and through the mean of the chosen.

    Every row is written once, by a program that adds its terms in a fixed order: no atomics.

    Args:
        sentences: [R, E]. Hidden rows get zeros and give nothing.
        patches: [V * N, E].
        inverse_r, inverse_n: 1 / norm of their rows, fp32.
        winners: [R, W] int32, rows of `patches`.
        shown: [R] bool.
        of_cosines: [R, W] fp32, or None where only the mean was used.
        of_mean: [R, E], or None.
        share: 1 / winners of a mean.
        to_sentences, to_patches: which gradients are wanted; the others come back empty.

    Returns:
        [R, E] and [V * N, E], in the dtypes of their inputs.
    """
    E, W = sentences.shape[1], winners.shape[1]
    block = power_of_two(max(E, 16))
    grad_s, grad_p = torch.zeros_like(sentences if to_sentences else sentences[:0]), patches.new_empty(0, E)
    if to_sentences and of_cosines is not None and sentences.numel():
        with on(sentences.device):
            _cosines_bwd_sentences_kernel[(sentences.shape[0],)](
                sentences, patches, inverse_r, inverse_n, winners, of_cosines, shown, grad_s, E, W,
                BLOCK_E=block, BLOCK_W=8, num_warps=_warps(8 * block),
            )  # fmt: skip
    if to_patches:
        grad_p = torch.empty_like(patches)
        order, begin = _by_patch(winners, shown, patches.shape[0])
        if patches.numel():
            with on(sentences.device):
                _cosines_bwd_patches_kernel[(patches.shape[0],)](
                    sentences, patches, inverse_r, inverse_n, order, begin,
                    inverse_r if of_cosines is None else of_cosines, sentences if of_mean is None else of_mean,
                    grad_p, E, W, share,
                    HAS_SCORES=of_cosines is not None, HAS_MEAN=of_mean is not None,
                    BLOCK_E=block, num_warps=_warps(block),
                )  # fmt: skip
    return grad_s, grad_p


def _by_patch(winners: Tensor, shown: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    """Winners grouped by patch, in sentence order, and where each patch's group begins; hidden ones come last."""
    rows = torch.where(shown[:, None], winners, num_rows).flatten()
    rows, order = torch.sort(rows, stable=True)
    return order, torch.searchsorted(rows, torch.arange(num_rows + 1, dtype=rows.dtype, device=rows.device))


def _warps(values: int) -> int:
    """Warps of a program that holds so many values at once: 32 or fewer a thread."""
    return max(1, min(8, values // 1024))
