# pyright: basic, reportInvalidTypeForm=false
"""Choose the best of a row of products.

Scores become integers that order like them, NaN above all. The K-th largest is found by halving an interval until K
are not below it; where several are equal to it, by their places, so that ties are broken as the contract says. Only the
K best are sorted, as 64-bit keys: the high half is the score, the low half prefers the lower index.

The best K of N lie in the K groups whose best are best. So a row is searched twice, and never as a whole: the best of
its groups, then the members of the K best groups. The result is exact.

Shapes: N products in a row, in G groups of up to M members; k asked for, K = k padded to a power of two.
"""

from typing import Any

from simcrop.kernels.support import MOST_REGISTERS, cdiv, power_of_two, tl, triton


@triton.jit
def order(scores):
    """Integers whose order is that of scores; -0.0 and 0.0 tie, NaN is above all."""
    bits = tl.where(scores == 0.0, 0.0, scores).to(tl.int32, bitcast=True)
    is_nan = scores != scores  # noqa: PLR0124
    return tl.where(is_nan, 0x7FC00000, bits ^ ((bits >> 31) & 0x7FFFFFFF))


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
    o_g, o_m = tl.arange(0, G), tl.arange(0, K * M)
    best = tl.full((G,), -float("inf"), tl.float32)
    for first in range(0, N, G):
        score = _scores_at(p_products, p_inverse, inverse_row, first + o_g, N)
        best = tl.maximum(best, score, propagate_nan=tl.PropagateNan.ALL)
    orders = order(best)
    worst, num = _worst(orders, tl.min(orders, 0), K)
    wanted = orders >= worst
    if num > K:
        place = tl.full((G,), 0x7FFFFFFF, tl.int32)
        for first in range(0, N, G):
            score = _scores_at(p_products, p_inverse, inverse_row, first + o_g, N)
            place = tl.minimum(place, tl.where(order(score) == worst, first + o_g, 0x7FFFFFFF))
        wanted = _lower_of_ties(orders, place, worst, K)
    o_n = tl.gather(_places(wanted, K), o_m // M, 0) + o_m % M * G
    orders = order(_scores_at(p_products, p_inverse, inverse_row, o_n, N))
    worst, num = _worst(orders, worst, K)
    wanted = orders >= worst
    if num > K:
        wanted = _lower_of_ties(orders, o_n, worst, K)
    members = _places(wanted, K)
    return tl.sort(pack(tl.gather(orders, members, 0), tl.gather(o_n, members, 0)), descending=True)


@triton.jit
def _scores_at(p_products, p_inverse, inverse_row, o_n, N):
    """Cosines at some places; where there is no patch, none is smaller."""
    m_n = o_n < N
    score = tl.load(p_products + o_n, mask=m_n, other=0) * inverse_row * tl.load(p_inverse + o_n, mask=m_n, other=0)
    return tl.where(m_n, score, -float("inf"))


@triton.jit
def _worst(orders, low, K: tl.constexpr):
    """A number that K of `orders` are not below, and no larger one if it has to be more of them; and how many are.

    At least K are not below `low`.
    """
    high = tl.max(orders, 0) + 1
    num = tl.sum((orders >= low).to(tl.int32), 0)
    while (num > K) & (high > low + 1):
        middle = _middle(low, high)
        above = tl.sum((orders >= middle).to(tl.int32), 0)
        low, num, high = _halved(above >= K, low, num, high, middle, above)
    return low, num


@triton.jit
def _middle(low, high):
    """Between two numbers whose sum 32 bits may not hold."""
    return (low & high) + ((low ^ high) >> 1)


@triton.jit
def _halved(is_enough, low, num, high, middle, above):
    return tl.where(is_enough, middle, low), tl.where(is_enough, above, num), tl.where(is_enough, high, middle)


@triton.jit
def _lower_of_ties(orders, place, worst, K: tl.constexpr):
    """Which are the K best: all above `worst`, and of those equal to it the ones at the lowest places."""
    left = K - tl.sum((orders > worst).to(tl.int32), 0)
    tied = orders == worst
    low, high = tl.min(place, 0) - 1, tl.max(place, 0)
    while high > low + 1:
        middle = _middle(low, high)
        is_enough = tl.sum((tied & (place <= middle)).to(tl.int32), 0) >= left
        low, high = tl.where(is_enough, low, middle), tl.where(is_enough, middle, high)
    return (orders > worst) | (tied & (place <= high))


@triton.jit
def _places(wanted, K: tl.constexpr):
    """Places [K] of the K that are wanted."""
    before = tl.cumsum(wanted.to(tl.int32), 0)
    o_k = tl.arange(0, K)
    place = tl.zeros((K,), tl.int32)
    step = wanted.shape[0] // 2
    while step > 0:
        place += tl.where(tl.gather(before, place + step - 1, 0) <= o_k, step, 0)
        step = step // 2
    return place


def padded(k: int) -> int:
    """K of k: a power of two, as `tl.sort` needs, and above 1."""
    return max(2, power_of_two(k))


def selection_arguments(num: int, k: int) -> dict[str, Any]:
    """What `best_of_row` is compiled with to choose k of `num`, and launch options for one row a program.

    With eight members a group, the two searches are about equally long, and a row is read in eight rounds at most.
    """
    K = padded(k)
    G = max(K, power_of_two(cdiv(num, 8)))
    M = power_of_two(cdiv(num, G))
    num_warps = max(1, min(8, max(G, K * M) // 512))
    # By itself the assembler may spill. With more than 128, fewer programs of a short row would fit a multiprocessor.
    return {"G": G, "M": M, "K": K, "num_warps": num_warps, "maxnreg": MOST_REGISTERS if num_warps == 8 else 128}
