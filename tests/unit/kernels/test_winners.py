"""Winners grouped by patch."""

import pytest
import torch
from support.parity import DEVICE

from simcrop.kernels.winners import by_patch


@pytest.mark.parametrize(("sentences", "k"), [(6, 5), (300, 4), (1100, 8)])
@pytest.mark.parametrize("chooses_in_all", [False, True])
def test_sorted_by_patch_then_sentence_and_hidden_ones_last(sentences: int, k: int, chooses_in_all: bool) -> None:
    """Within a block, over some blocks, and more than are compared with each other."""
    draw = torch.Generator().manual_seed(0)
    R, V, N = (sentences, 2, 11) if chooses_in_all else (2 * sentences, 2, 11)
    winners = torch.randint(9, (R, V if chooses_in_all else 1, k), generator=draw)
    shown = torch.rand(R, generator=draw) > 0.3
    keys, begin = by_patch(winners.to(DEVICE), shown.to(DEVICE), V, N)
    place = torch.arange(winners.numel()).view_as(winners)
    place = place.transpose(0, 1).reshape(V, -1) if chooses_in_all else place.view(V, -1)
    rows = winners.flatten()[place] + torch.tensor([[0], [N]])
    rows[~shown[place // winners[0].numel()]] = V * N
    wanted = rows.sort(dim=1, stable=True)
    assert torch.equal(keys.cpu() >> 32, wanted.values)
    assert torch.equal(keys.cpu() & 0xFFFFFFFF, place.gather(1, wanted.indices))
    ends = torch.stack([torch.searchsorted(wanted.values[v], N * v + torch.arange(N + 1)) for v in range(V)])
    assert torch.equal(begin.cpu(), (ends + torch.tensor([[0], [keys.shape[1]]])).int())


def test_no_winners() -> None:
    keys, begin = by_patch(torch.empty(0, 1, 3).long().to(DEVICE), torch.ones(0).bool().to(DEVICE), 2, 100)
    assert keys.shape == (2, 0)
    assert begin.tolist() == [[0] * 101] * 2
