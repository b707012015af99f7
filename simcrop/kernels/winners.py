# pyright: basic, reportInvalidTypeForm=false
"""Group winners by the patch that they chose, and share long groups out among programs.

A patch may have been chosen by nearly every sentence. So the sorted list is cut into chunks of equal length: each chunk
that belongs to one patch alone is added up by a program of its own, and the patch's program adds these sums, and the
winners before the first and after the last of them.

Shapes: R sentences of all studies in a row, W winners a sentence, E features.
"""

from typing import Any

import torch
from torch import Tensor

from simcrop.kernels.support import MOST_REGISTERS, cdiv, on, power_of_two, tl, triton

_SMALLEST_CHUNK = 32
_MOST_CHUNKS = 8192
"""Bounds the memory of their sums: 25 MB at 768 features."""


@triton.jit(do_not_specialize=["num_winners", "S"])
def _keys_kernel(
    p_winners,  # [R, W] int: patches
    p_shown,  # [R] bool
    p_keys,  # [R * W] int64, out: row of patches << 32 | number of the winner
    num_winners,
    W,
    S,
    stride,
    num_patches,
    BLOCK: tl.constexpr,
):
    o_w = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m_w = o_w < num_winners
    i_r = o_w // W
    row = tl.load(p_winners + o_w, mask=m_w, other=0).to(tl.int64) + (i_r // S).to(tl.int64) * stride
    shown = tl.load(p_shown + i_r, mask=m_w, other=0) != 0
    tl.store(p_keys + o_w, (tl.where(shown, row, num_patches) << 32) | o_w, mask=m_w)


@triton.jit(do_not_specialize=["num_winners", "steps"])
def _begin_kernel(
    p_keys,  # [num_winners] int64, sorted
    p_begin,  # [num_patches + 1] int32, out: the first key of each patch
    num_winners,
    num_patches,
    steps,
    BLOCK: tl.constexpr,
):
    o_n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    smallest = o_n.to(tl.int64) << 32
    begin = tl.zeros((BLOCK,), tl.int32)
    for step in range(steps):
        end = begin + (1 << (steps - 1 - step))
        key = tl.load(p_keys + end - 1, mask=end <= num_winners, other=0x7FFFFFFFFFFFFFFF)
        begin = tl.where(key < smallest, end, begin)
    tl.store(p_begin + o_n, begin, mask=o_n <= num_patches)


@triton.jit
def split(begin, end, chunk):
    """Cut at multiples of `chunk`: end of the head, first whole chunk, the one after the last, begin of the tail."""
    first, last = (begin + chunk - 1) // chunk, end // chunk
    head = min(end, first * chunk)
    return head, first, last, max(head, last * chunk)


@triton.jit
def add_winners(
    b_mean,  # [BLOCK_E] fp32
    b_unit,  # [BLOCK_E] fp32
    start,
    end,
    p_keys,
    p_sentences,
    p_inverse_r,
    p_gradient,
    p_mean_gradient,
    o_e,
    E,
    W,
    repeat,
    HAS_SCORES: tl.constexpr,
    HAS_MEAN: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """Add what the sorted winners from `start` to `end` give their patch, BLOCK_W at a time."""
    while start < end:
        o_w = start + tl.arange(0, BLOCK_W)
        m_w = o_w < end
        winner = tl.load(p_keys + o_w, mask=m_w, other=0).to(tl.int32)
        row = winner // W
        m_tile = m_w[:, None] & (o_e < E)[None, :]
        o_tile = row.to(tl.int64)[:, None] * E + o_e[None, :]
        if HAS_MEAN:
            b_mean += tl.sum(tl.load(p_mean_gradient + o_tile, mask=m_tile, other=0).to(tl.float32), 0)
        if HAS_SCORES:
            weight = tl.load(p_gradient + winner // repeat, mask=m_w, other=0)
            weight *= tl.load(p_inverse_r + row, mask=m_w, other=0)
            b_s = tl.load(p_sentences + o_tile, mask=m_tile, other=0).to(tl.float32)
            b_unit += tl.sum(b_s * weight[:, None], 0)
        start += BLOCK_W
    return b_mean, b_unit


@triton.jit(do_not_specialize=["num_winners", "chunk"])
def _cosines_bwd_chunks_kernel(
    p_sentences,  # [R, E]
    p_inverse_r,  # [R] fp32
    p_keys,  # [num_winners] int64, sorted
    p_gradient,  # [num_winners / repeat] fp32: of the winners' cosines
    p_mean_gradient,  # [R, E]: of the mean of the winners
    p_sums,  # [2, chunks, E] fp32, out where a chunk has one patch alone
    num_winners,
    num_patches,
    chunk,
    E,
    W,
    repeat,
    HAS_SCORES: tl.constexpr,
    HAS_MEAN: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    i_c, chunks = tl.program_id(0), tl.num_programs(0)
    start = i_c * chunk
    end = start + chunk
    patch = tl.load(p_keys + start) >> 32
    last = tl.load(p_keys + end - 1, mask=end <= num_winners, other=-1) >> 32
    if (patch == last) & (patch < num_patches):
        o_e = tl.arange(0, BLOCK_E)
        zero = tl.zeros((BLOCK_E,), tl.float32)
        b_mean, b_unit = add_winners(
            zero, zero, start, end, p_keys, p_sentences, p_inverse_r, p_gradient, p_mean_gradient,
            o_e, E, W, repeat, HAS_SCORES, HAS_MEAN, BLOCK_W,
        )  # fmt: skip
        p_sum = p_sums + i_c.to(tl.int64) * E + o_e
        if HAS_MEAN:
            tl.store(p_sum, b_mean, mask=o_e < E)
        if HAS_SCORES:
            tl.store(p_sum + chunks.to(tl.int64) * E, b_unit, mask=o_e < E)


def by_patch(
    winners: Tensor, shown: Tensor, num_patches: int, num_sentences: int, stride: int
) -> tuple[Tensor, Tensor]:
    """Winners sorted by patch, then sentence.

    Args:
        winners: [R, W] int, patches counted from `r // num_sentences * stride` on.
        shown: [R] bool; hidden sentences' winners come last, and belong to no patch.
        num_patches: of all volumes.
        num_sentences, stride: see `winners`.

    Returns:
        Keys [R * W] int64, the patch in the upper half and the place in `winners` in the lower; and where each patch's
        keys begin, [num_patches + 1] int32.
    """
    num_winners = winners.numel()
    keys = torch.empty(num_winners, dtype=torch.int64, device=winners.device)
    begin = torch.empty(num_patches + 1, dtype=torch.int32, device=keys.device)
    with on(keys.device):
        if num_winners:
            _keys_kernel[(cdiv(num_winners, 1024),)](
                winners, shown, keys, num_winners, winners.shape[1], num_sentences, stride, num_patches, BLOCK=1024
            )
            keys = keys.sort().values
        _begin_kernel[(cdiv(num_patches + 1, 128),)](
            keys, begin, num_winners, num_patches, num_winners.bit_length(), BLOCK=128
        )
    return keys, begin


def chunk_size(num_winners: int) -> int:
    """Winners that one program adds up where they all belong to one patch."""
    return max(_SMALLEST_CHUNK, power_of_two(cdiv(max(1, num_winners), _MOST_CHUNKS)))


def sums_of_chunks(
    sentences: Tensor,
    inverse_r: Tensor,
    keys: Tensor,
    terms: tuple[Tensor, Tensor],
    num_patches: int,
    num_each: int,
    repeat: int,
    arguments: dict[str, Any],
) -> Tensor:
    """What chunks of winners give their patch, through the mean and through cosines.

    Args:
        sentences: [R, E].
        inverse_r: [R] fp32, 1 / norm.
        keys: see `by_patch`.
        terms: gradients of the winners' cosines and of their mean, as the kernel takes them.
        num_patches: of all volumes.
        num_each: W.
        repeat: winners in a row that share a gradient.
        arguments: what `add_winners` is compiled with, and launch options.

    Returns:
        [2, chunks, E] fp32, undefined where a chunk has winners of several patches.
    """
    num_winners, E = keys.numel(), sentences.shape[1]
    chunk = chunk_size(num_winners)
    sums = torch.empty(2, cdiv(num_winners, chunk), E, dtype=torch.float32, device=keys.device)
    if num_winners:
        with on(keys.device):
            _cosines_bwd_chunks_kernel[(sums.shape[1],)](
                sentences, inverse_r, keys, *terms, sums,
                num_winners, num_patches, chunk, E, num_each, repeat, maxnreg=MOST_REGISTERS, **arguments,
            )  # fmt: skip
    return sums
