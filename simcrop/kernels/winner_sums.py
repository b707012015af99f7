# pyright: basic, reportInvalidTypeForm=false
"""Add up what a patch's winners give it, and share those of a patch with many out among programs.

A patch may have been chosen by nearly every sentence. So the sorted list is cut into chunks of equal length: each chunk
that belongs to one patch alone is added up by a program of its own. Then one program a patch adds these sums, and the
winners before the first and after the last of them.

Shapes: R sentences of all studies in a row, V volumes of N patches, E features; W winners a sentence.
"""

from typing import Any

import torch
from torch import Tensor

from simcrop.kernels.support import MOST_REGISTERS, cdiv, on, power_of_two, tl, triton

_SMALLEST_CHUNK = 32
_MOST_CHUNKS = 8192
"""Bounds the memory of their sums: 25 MB at 768 features."""


@triton.jit
def whole_chunks(begin, end, chunk):
    """The first chunk that lies between `begin` and `end`, and the one after the last; if they are in order."""
    return (begin + chunk - 1) // chunk, end // chunk


@triton.jit(do_not_specialize=["num_winners", "chunk"])
def _cosines_bwd_chunks_kernel(
    p_sentences,  # [R, E]
    p_inverse_r,  # [R] fp32
    p_keys,  # [num_winners] int64, sorted in each volume
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
        zero = tl.zeros((BLOCK_W, BLOCK_E), tl.float32)
        b_mean, b_unit = add_winners(
            zero, zero, start, end, p_keys, p_sentences, p_inverse_r, p_gradient, p_mean_gradient,
            o_e, E, W, repeat, HAS_SCORES, HAS_MEAN, BLOCK_W,
        )  # fmt: skip
        _store_sums(b_mean, b_unit, p_sums, i_c, chunks, o_e, E, HAS_SCORES, HAS_MEAN)


@triton.jit(do_not_specialize=["num_winners", "num_patches", "N", "chunk"])
def _cosines_bwd_hubs_kernel(
    p_sentences,  # [R, E]
    p_inverse_r,  # [R] fp32
    p_keys,  # [num_winners] int64, sorted in each volume
    p_begin,  # [V, N + 1] int32: where each patch's winners begin
    p_gradient,  # [num_winners / repeat] fp32: of the winners' cosines
    p_mean_gradient,  # [R, E]: of the mean of the winners
    p_sums,  # [2, chunks, E] fp32: at a patch's first whole chunk, the sum of all its winners, out
    num_winners,
    num_patches,
    N,
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
    patch = (tl.load(p_keys + start) >> 32).to(tl.int32)
    same = (tl.load(p_keys + start + chunk - 1, mask=start + chunk <= num_winners, other=-1) >> 32).to(tl.int32)
    if (patch == same) & (patch < num_patches):
        p_first = p_begin + patch.to(tl.int64) + patch // N
        begin, end = tl.load(p_first), tl.load(p_first + 1)
        first, last = whole_chunks(begin, end, chunk)
        if (first == i_c) & (first < last):
            o_e, o_w = tl.arange(0, BLOCK_E), tl.arange(0, BLOCK_W)
            b_mean = tl.zeros((BLOCK_W, BLOCK_E), tl.float32)
            b_unit = tl.zeros((BLOCK_W, BLOCK_E), tl.float32)
            b_mean, b_unit = add_winners(
                b_mean, b_unit, begin, first * chunk, p_keys, p_sentences, p_inverse_r, p_gradient, p_mean_gradient,
                o_e, E, W, repeat, HAS_SCORES, HAS_MEAN, BLOCK_W,
            )  # fmt: skip
            b_mean, b_unit = add_winners(
                b_mean, b_unit, last * chunk, end, p_keys, p_sentences, p_inverse_r, p_gradient, p_mean_gradient,
                o_e, E, W, repeat, HAS_SCORES, HAS_MEAN, BLOCK_W,
            )  # fmt: skip
            while first < last:
                o_c = first + o_w
                p_tile = p_sums + o_c.to(tl.int64)[:, None] * E + o_e[None, :]
                m_tile = (o_c < last)[:, None] & (o_e < E)[None, :]
                if HAS_MEAN:
                    b_mean += tl.load(p_tile, mask=m_tile, other=0)
                if HAS_SCORES:
                    b_unit += tl.load(p_tile + chunks.to(tl.int64) * E, mask=m_tile, other=0)
                first += BLOCK_W
            _store_sums(b_mean, b_unit, p_sums, i_c, chunks, o_e, E, HAS_SCORES, HAS_MEAN)


@triton.jit
def _store_sums(b_mean, b_unit, p_sums, i_c, chunks, o_e, E, HAS_SCORES: tl.constexpr, HAS_MEAN: tl.constexpr):
    p_sum = p_sums + i_c.to(tl.int64) * E + o_e
    if HAS_MEAN:
        tl.store(p_sum, tl.sum(b_mean, 0), mask=o_e < E)
    if HAS_SCORES:
        tl.store(p_sum + chunks.to(tl.int64) * E, tl.sum(b_unit, 0), mask=o_e < E)


@triton.jit
def add_winners(
    b_mean,  # [BLOCK_W, BLOCK_E] fp32
    b_unit,  # [BLOCK_W, BLOCK_E] fp32
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
    """Add what the sorted winners from `start` to `end` give their patch, BLOCK_W at a time, each to a row."""
    while start < end:
        o_w = start + tl.arange(0, BLOCK_W)
        m_w = o_w < end
        winner = tl.load(p_keys + o_w, mask=m_w, other=0).to(tl.int32)
        row = winner // W
        m_tile = m_w[:, None] & (o_e < E)[None, :]
        o_tile = row.to(tl.int64)[:, None] * E + o_e[None, :]
        if HAS_MEAN:
            b_mean += tl.load(p_mean_gradient + o_tile, mask=m_tile, other=0).to(tl.float32)
        if HAS_SCORES:
            weight = tl.load(p_gradient + winner // repeat, mask=m_w, other=0)
            weight *= tl.load(p_inverse_r + row, mask=m_w, other=0)
            b_unit += tl.load(p_sentences + o_tile, mask=m_tile, other=0).to(tl.float32) * weight[:, None]
        start += BLOCK_W
    return b_mean, b_unit


def chunk_size(num_winners: int) -> int:
    """Winners that one program adds up where they all belong to one patch."""
    return max(_SMALLEST_CHUNK, power_of_two(cdiv(max(1, num_winners), _MOST_CHUNKS)))


def rows_at_once(block: int) -> int:
    """Rows of so many features that 8 warps can read at once, and add in registers."""
    return max(1, min(8, 8192 // block))


def sums_of_hubs(
    sentences: Tensor,
    inverse_r: Tensor,
    keys: Tensor,
    begin: Tensor,
    terms: tuple[Tensor, Tensor],
    num_patches: int,
    num_each: int,
    repeat: int,
    arguments: dict[str, Any],
) -> Tensor:
    """What all winners of a patch give it, through the mean and through cosines, where they are many.

    Args:
        sentences: [R, E].
        inverse_r: [R] fp32, 1 / norm.
        keys, begin: see `winners.by_patch`.
        terms: gradients of the winners' cosines and of their mean, as the kernel takes them.
        num_patches: of all volumes.
        num_each: winners of a sentence.
        repeat: winners in a row that share a gradient.
        arguments: what `add_winners` is compiled with, and launch options.

    Returns:
        [2, chunks, E] fp32: at the first whole chunk of each patch that has one; elsewhere undefined.
    """
    num_winners, E = keys.numel(), sentences.shape[1]
    chunk = chunk_size(num_winners)
    sums = torch.empty(2, cdiv(num_winners, chunk), E, dtype=torch.float32, device=keys.device)
    launch = {"BLOCK_W": rows_at_once(arguments["BLOCK_E"]), "num_warps": 8, "maxnreg": MOST_REGISTERS, **arguments}
    if num_winners:
        with on(keys.device):
            _cosines_bwd_chunks_kernel[(sums.shape[1],)](
                sentences, inverse_r, keys, *terms, sums, num_winners, num_patches, chunk, E, num_each, repeat, **launch
            )
            _cosines_bwd_hubs_kernel[(sums.shape[1],)](
                sentences, inverse_r, keys, begin, *terms, sums, num_winners, num_patches, begin.shape[1] - 1,
                chunk, E, num_each, repeat, **launch,
            )  # fmt: skip
    return sums
