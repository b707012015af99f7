# pyright: basic, reportInvalidTypeForm=false
"""Choose the best of a row of products.

Scores and indices are chosen together as 64-bit keys: the high half orders like the fp32 score (NaN above all), the low
half prefers the lower index. So a sort of keys breaks ties as the contract says, and needs nothing beside it.

The best K of N keys lie in the K groups whose best keys are best. So two short sorts take the place of a long one: of
the groups' best keys, then of the members of the K best groups. Nothing depends on the values, so that the time does
not either, and the result is exact.

Shapes: N products in a row, in G groups of up to M members; k asked for, K = k padded to a power of two.
"""

from typing import Any

from simcrop.kernels.support import MOST_REGISTERS, cdiv, power_of_two, tl, triton


@triton.jit
def order(scores):
    """Integers whose order is that of scores; -0.0 and 0.0 tie, NaN is above all."""
    bits = tl.where(scores == 0.0, 0.0, scores).to(tl.int32, bitcast=True)
    is_nan = scores != scores  # noqa: PLR0124
    return tl.where(is_nan, 0x7FFFFFFF, bits ^ ((bits >> 31) & 0x7FFFFFFF))


@triton.jit
def pack(orders, index):
    """Keys whose order is that of `orders`, then of lower index."""
    return (orders.to(tl.int64) << 32) | (0x7FFFFFFF - index).to(tl.int64)


@triton.jit
def index_of(keys):
    """Indices of keys."""
    return 0x7FFFFFFF - (keys & 0xFFFFFFFF).to(tl.int32)


@triton.jit
def score_of(keys):
    """Scores of keys."""
    orders = (keys >> 32).to(tl.int32)
    return (orders ^ ((orders >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)


@triton.jit
def merge(best, others):
    """The larger half of two rows [.., K] of keys, each sorted downwards; sorted downwards again."""
    # One row turned round makes the pairwise maxima bitonic: they only need merging, not sorting.
    return tl.bitonic_merge(tl.maximum(best, tl.flip(others, 1)), descending=True)


@triton.jit
def best_of_row(
    p_products,  # [N] fp32: of one sentence with the patches of one volume
    p_inverse,  # [N] fp32 of that volume: 1 / norm
    inverse_row,  # fp32: 1 / norm of the sentence
    N,
    G: tl.constexpr,
    M: tl.constexpr,
    K: tl.constexpr,
):
    """Keys [K] of the best cosines of a row, sorted downwards; where fewer than K exist, the rest have no meaning."""
    o_g = tl.arange(0, G)
    orders = tl.full((G,), -0x80000000, tl.int32)
    place = tl.zeros((G,), tl.int32)
    for first in range(0, N, G):
        o_n = first + o_g
        m_n = o_n < N
        score = tl.load(p_products + o_n, mask=m_n, other=0) * inverse_row * tl.load(p_inverse + o_n, mask=m_n, other=0)
        later = tl.where(m_n, order(score), -0x80000000)
        place = tl.where(later > orders, first, place)  # on a tie the lower index stays
        orders = tl.maximum(orders, later)
    groups = index_of(tl.topk(pack(orders, place + o_g), K)) % G
    o_n = groups[:, None] + tl.arange(0, M)[None, :] * G
    m_n = o_n < N
    score = tl.load(p_products + o_n, mask=m_n, other=0) * inverse_row * tl.load(p_inverse + o_n, mask=m_n, other=0)
    keys = tl.where(m_n, pack(order(score), o_n), -0x7FFFFFFFFFFFFFFF)
    return tl.topk(tl.reshape(keys, (K * M,)), K)


def padded(k: int) -> int:
    """K of k: `tl.topk` needs a power of two above 1."""
    return max(2, power_of_two(k))


def selection_arguments(num: int, k: int) -> dict[str, Any]:
    """What `best_of_row` is compiled with to choose k of `num`, and launch options for one row a program.

    With eight members a group, the two sorts are about equally long, and a row is read in eight rounds at most.
    """
    K = padded(k)
    G = max(K, power_of_two(cdiv(num, 8)))
    M = power_of_two(cdiv(num, G))
    num_warps = max(1, min(8, max(G, K * M) // 512))
    # Long rows alone: with more registers, fewer programs of a short row would fit a multiprocessor.
    registers = {"maxnreg": MOST_REGISTERS} if num_warps == 8 else {}
    return {"G": G, "M": M, "K": K, "num_warps": num_warps, **registers}
