"""The best of a row by groups: exactly what a stable sort gives, ties, zeros of both signs and NaN included."""

import pytest
import torch
from support.parity import DEVICE
from torch import Tensor

from simcrop.kernels.selection import best_of_row, index_of, padded, score_of, selection_arguments
from simcrop.kernels.support import tl, triton


@triton.jit
def _best_kernel(
    p_products, p_inverse, p_scores, p_index, N, k, G: tl.constexpr, M: tl.constexpr, K: tl.constexpr
):  # fmt: skip
    i_row = tl.program_id(0)
    keys = best_of_row(p_products + i_row * N, p_inverse, 1.0, N, G, M, K)
    o_k = tl.arange(0, K)
    tl.store(p_scores + i_row * k + o_k, score_of(keys), mask=o_k < k)
    tl.store(p_index + i_row * k + o_k, index_of(keys), mask=o_k < k)


def best(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Scores and indices [.., k] by the kernel."""
    rows = rows.to(DEVICE)
    scores, index = rows.new_full((len(rows), k), 7.0), rows.new_full((len(rows), k), -1).int()
    ones = torch.ones_like(rows[0])
    _best_kernel[(len(rows),)](rows, ones, scores, index, rows.shape[1], k, **selection_arguments(rows.shape[1], k))
    return scores.cpu(), index.cpu().long()


def sorted_best(rows: Tensor, k: int) -> Tensor:
    """Indices by a stable sort, NaN first, which it takes for larger than all."""
    return rows.sort(dim=1, descending=True, stable=True).indices[:, :k]


@pytest.mark.parametrize(
    ("num", "k"),
    [(2744, 32), (686, 4), (686, 32), (2744, 1), (700, 128), (129, 128), (1, 1), (7, 7), (40, 3), (1000, 64)],
)
def test_the_same_as_a_stable_sort(num: int, k: int) -> None:
    draw = torch.Generator().manual_seed(num + k)
    rows = torch.randn(3, num, generator=draw)
    rows[1] = torch.randint(-2, 3, (num,), generator=draw).float()  # nearly all are ties
    rows[2, torch.randint(num, (num // 3,), generator=draw)] = float("nan")
    rows[2, torch.randint(num, (num // 3,), generator=draw)] = -0.0
    scores, index = best(rows, k)
    wanted = sorted_best(rows, k)
    assert torch.equal(index, wanted)
    assert torch.equal(scores.nan_to_num(9.0), rows.gather(1, wanted).nan_to_num(9.0))


def test_equal_values_keep_their_order() -> None:
    scores, index = best(torch.zeros(1, 300), 128)
    assert index[0].tolist() == list(range(128))
    assert not scores.any()


def test_the_best_in_one_group() -> None:
    """The places of one group, then of two: the second sort must see all members of each."""
    G = selection_arguments(686, 4)["G"]
    rows = torch.full((2, 686), -1.0)
    rows[0, 5::G] = torch.arange(len(rows[0, 5::G])).float()
    rows[1, 7::G], rows[1, 9] = 1.0, 2.0
    _, index = best(rows, 4)
    assert index.tolist() == [[5 + j * G for j in (5, 4, 3, 2)], [9, 7, 7 + G, 7 + 2 * G]]


@pytest.mark.parametrize("num", [1, 40, 686, 2744, 21952])
@pytest.mark.parametrize("k", [1, 4, 32, 64, 128])
def test_a_thread_holds_few_keys(num: int, k: int) -> None:
    """16 keys fill 32 registers; the groups hold all places, and there are as many groups as are wanted."""
    sizes = selection_arguments(num, min(k, num))
    assert sizes["G"] * sizes["M"] >= num
    assert sizes["G"] >= sizes["K"] == padded(min(k, num))
    assert max(sizes["G"], sizes["K"] * sizes["M"]) <= 32 * 32 * sizes["num_warps"]
    assert sizes["M"] <= 8
