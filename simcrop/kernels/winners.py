# pyright: basic, reportInvalidTypeForm=false
"""Group winners by the patch that they chose.

Blocks of a volume's winners are sorted, and then compared with each other.

Shapes: R sentences of all studies in a row; V volumes of N patches; P volumes in which a sentence chose k winners: its
own (P = 1), or all (P = V).
"""

import torch
from torch import Tensor

from simcrop.kernels.support import cdiv, on, tl, triton

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
