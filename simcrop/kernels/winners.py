# pyright: basic, reportInvalidTypeForm=false
"""Group winners by the patch that they chose, and share long groups out among programs.

A patch may have been chosen by nearly every sentence. So the sorted list is cut into chunks of equal length: each chunk
that belongs to one patch alone is added up by a program of its own. Then one program a patch adds these sums, and the
winners before the first and after the last of them.

Shapes: R sentences of all studies in a row; V volumes of N patches; P volumes in which a sentence chose k winners: its
own (P = 1), or all (P = V).
"""

from typing import Any

import torch
from torch import Tensor

from simcrop.kernels.support import MOST_REGISTERS, cdiv, on, power_of_two, tl, triton

_SMALLEST_CHUNK = 32
_MOST_CHUNKS = 8192
"""Bounds the memory of their sums: 25 MB at 768 features."""
_BLOCK = 512
_MOST_RANKED = 16 * _BLOCK
"""Winners of a volume whose sorted blocks are compared with each other; more are left to torch."""


@triton.jit(do_not_specialize=["num", "rows", "N"])
def _sorted_blocks_kernel(
    p_winners,  # [R, P, k] int: patches of the volume
    p_shown,  # [R] bool
    p_blocks,  # [V, blocks, BLOCK] int32, out: patch << BITS | number of the volume's winner, sorted in each block
    num,
    rows,
    N,
    P,
    k,
    BITS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    i_b, i_v, blocks = tl.program_id(0), tl.program_id(1), tl.num_programs(0)
    o_b = tl.arange(0, BLOCK)
    o_w = i_b * BLOCK + o_b
    m_w = o_w < num
    place = _place(i_v, o_w, rows, P, k)
    shown = tl.load(p_shown + place // (P * k), mask=m_w, other=0) != 0
    patch = tl.where(shown, tl.load(p_winners + place, mask=m_w, other=0).to(tl.int32), N)
    keys = tl.sort(tl.where(m_w, (patch << BITS) | o_w, 0x7FFFFFFF))
    tl.store(p_blocks + (i_v.to(tl.int64) * blocks + i_b) * BLOCK + o_b, keys)


@triton.jit(do_not_specialize=["num", "rows", "N", "V"])
def _keys_kernel(
    p_blocks,  # [V, blocks, BLOCK] int32
    p_keys,  # [V, num] int64, out: row of patches << 32 | place in `p_winners`
    num,
    rows,
    N,
    V,
    P,
    k,
    BITS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    i_b, i_v, blocks = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.num_programs(0)
    p_volume = p_blocks + i_v * blocks * BLOCK
    key = tl.load(p_volume + i_b * BLOCK + tl.arange(0, BLOCK))
    # No two keys are equal: as many as are smaller stand before each.
    rank = tl.zeros((BLOCK,), tl.int32)
    other = 0
    while other < blocks:
        smaller = tl.zeros((BLOCK,), tl.int32)
        step = BLOCK
        while step > 0:
            end = smaller + step
            last = tl.load(p_volume + other * BLOCK + end - 1, mask=end <= BLOCK, other=0x7FFFFFFF)
            smaller = tl.where(last < key, end, smaller)
            step = step // 2
        rank += smaller
        other += 1
    patch = key >> BITS
    row = tl.where(patch < N, i_v * N + patch, V.to(tl.int64) * N)
    place = _place(tl.program_id(1), key & ((1 << BITS) - 1), rows, P, k)
    tl.store(p_keys + i_v * num + rank, (row << 32) | place, mask=key != 0x7FFFFFFF)


@triton.jit
def _place(i_v, o_w, rows, P, k):
    """Where the winners `o_w` of a volume are in [R, P, k]."""
    i_r, i_k = o_w // k, o_w % k
    return tl.where(P == 1, (i_v * rows + i_r) * k + i_k, (i_r * P + i_v) * k + i_k)


@triton.jit(do_not_specialize=["num", "steps"])
def _begin_kernel(
    p_keys,  # [V, num] int64, sorted
    p_begin,  # [V, N + 1] int32, out: the first key of each patch
    num,
    N,
    steps,
    BLOCK: tl.constexpr,
):
    i_v, o_n = tl.program_id(1).to(tl.int64), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    smallest = (i_v * N + o_n) << 32
    begin = tl.zeros((BLOCK,), tl.int32)
    for step in range(steps):
        end = begin + (1 << (steps - 1 - step))
        key = tl.load(p_keys + i_v * num + end - 1, mask=end <= num, other=0x7FFFFFFFFFFFFFFF)
        begin = tl.where(key < smallest, end, begin)
    tl.store(p_begin + i_v * (N + 1) + o_n, i_v.to(tl.int32) * num + begin, mask=o_n <= N)


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


@triton.jit(do_not_specialize=["num_patches", "N", "chunk"])
def _cosines_bwd_hubs_kernel(
    p_sentences,  # [R, E]
    p_inverse_r,  # [R] fp32
    p_keys,  # [num_winners] int64, sorted in each volume
    p_begin,  # [V, N + 1] int32: where each patch's winners begin
    p_gradient,  # [num_winners / repeat] fp32: of the winners' cosines
    p_mean_gradient,  # [R, E]: of the mean of the winners
    p_sums,  # [2, chunks, E] fp32: at a patch's first whole chunk, the sum of all its winners, out
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
    patch = tl.load(p_keys + i_c * chunk) >> 32
    if patch < num_patches:
        p_first = p_begin + patch + patch // N
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
        b_mean, b_unit = add_winner(
            b_mean, b_unit, o_w, o_w < end, p_keys, p_sentences, p_inverse_r, p_gradient, p_mean_gradient,
            o_e, E, W, repeat, HAS_SCORES, HAS_MEAN,
        )  # fmt: skip
        start += BLOCK_W
    return b_mean, b_unit


@triton.jit
def add_winner(
    b_mean,  # [BLOCK, BLOCK_E] fp32
    b_unit,  # [BLOCK, BLOCK_E] fp32
    o_w,  # [BLOCK]
    m_w,  # [BLOCK]
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
):
    """Add to each row of a tile what one of the sorted winners gives its patch."""
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
    return b_mean, b_unit


def by_patch(winners: Tensor, shown: Tensor, num_volumes: int, num_patches: int) -> tuple[Tensor, Tensor]:
    """Winners of each volume sorted by patch, then sentence.

    Args:
        winners: [R, P, k] int, patches of their volumes.
        shown: [R] bool; hidden sentences' winners come last in their volume, and belong to no patch.
        num_volumes: V.
        num_patches: N.

    Returns:
        Keys [V, R * P * k / V] int64, the row of all patches in the upper half and the place in `winners` in the lower;
        and where each patch's keys begin, [V, N + 1] int32.
    """
    _, P, k = winners.shape
    num = winners.numel() // num_volumes
    keys = torch.empty(num_volumes, num, dtype=torch.int64, device=winners.device)
    begin = torch.empty(num_volumes, num_patches + 1, dtype=torch.int32, device=keys.device)
    bits = max(1, num - 1).bit_length()
    with on(keys.device):
        if num > _MOST_RANKED or (num_patches + 1) << bits >= 2**31:
            keys = _sorted_keys(winners, shown, num_volumes, num_patches)
        elif num:
            blocks = torch.empty(num_volumes, cdiv(num, _BLOCK), _BLOCK, dtype=torch.int32, device=keys.device)
            grid = blocks.shape[1], num_volumes
            sizes = num, num // k, num_patches
            _sorted_blocks_kernel[grid](winners, shown, blocks, *sizes, P, k, BITS=bits, BLOCK=_BLOCK)
            _keys_kernel[grid](blocks, keys, *sizes, num_volumes, P, k, BITS=bits, BLOCK=_BLOCK)
        _begin_kernel[(cdiv(num_patches + 1, 128), num_volumes)](
            keys, begin, num, num_patches, num.bit_length(), BLOCK=128
        )
    return keys, begin


def _sorted_keys(winners: Tensor, shown: Tensor, num_volumes: int, num_patches: int) -> Tensor:
    """The keys of `by_patch`, however many there are."""
    volume = torch.arange(num_volumes, device=winners.device).view(-1, 1)
    place = torch.arange(winners.numel(), device=winners.device).view_as(winners)
    place = place.view(num_volumes, -1) if winners.shape[1] == 1 else place.transpose(0, 1).flatten(1)
    row = volume * num_patches + winners.flatten()[place]
    is_shown = shown[place // winners[0].numel()]
    return (torch.where(is_shown, row, num_volumes * num_patches) << 32 | place).sort(1).values


def chunk_size(num_winners: int) -> int:
    """Winners that one program adds up where they all belong to one patch."""
    return max(_SMALLEST_CHUNK, power_of_two(cdiv(max(1, num_winners), _MOST_CHUNKS)))


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
        keys, begin: see `by_patch`.
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
    launch = {"BLOCK_W": 8, "num_warps": 8, "maxnreg": MOST_REGISTERS, **arguments}
    if num_winners:
        with on(keys.device):
            _cosines_bwd_chunks_kernel[(sums.shape[1],)](
                sentences, inverse_r, keys, *terms, sums, num_winners, num_patches, chunk, E, num_each, repeat, **launch
            )
            _cosines_bwd_hubs_kernel[(sums.shape[1],)](
                sentences, inverse_r, keys, begin, *terms, sums, num_patches, begin.shape[1] - 1, chunk, E, num_each,
                repeat, **launch,
            )  # fmt: skip
    return sums
