"""Winners grouped by patch, and hubs shared out."""

import pytest
import torch
from support.parity import DEVICE

from simcrop.kernels.winners import by_patch, chunk_size, whole_chunks


def longest_reads(counts: list[int], chunk: int) -> tuple[int, int]:
    """The most winners, and the most sums of chunks, that one program reads where patches have so many winners each."""
    winners = sums = begin = 0
    for count in counts:
        end = begin + count
        first, last = whole_chunks.fn(begin, end, chunk)
        if first < last:
            assert begin <= first * chunk < last * chunk <= end
            winners = max(winners, first * chunk - begin, end - last * chunk, chunk)
            sums = max(sums, last - first)
        else:
            winners = max(winners, count)
        begin = end
    return winners, sums


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


@pytest.mark.parametrize("ranks", [1, 8])
def test_hubs_do_not_serialise(ranks: int) -> None:
    """A patch in each of 32 volumes that 252 of 256 sentences chose, as at the start of a run.

    Eight rows are read at once, in about 1 us. The whole backward pass cannot take less than 20 us.
    """
    k, patches, hub = 4, 686, 252 * ranks
    others, left = divmod(256 * ranks * k - hub, patches - 1)
    volume = [others + (place < left) for place in range(patches - 1)]
    for place in (0, 300, patches - 1):
        counts = [*volume[:place], hub, *volume[place:]] * 32
        chunk = chunk_size(sum(counts))
        winners, sums = longest_reads(counts, chunk)
        assert winners <= 64
        rounds = -(-chunk // 8) + 2 * -(-chunk // 8) + -(-sums // 8)
        assert rounds <= 20


@pytest.mark.parametrize("num_winners", [0, 1, 31, 32, 4096, 2**18, 2**22 + 1])
def test_sums_of_chunks_take_bounded_memory(num_winners: int) -> None:
    chunk = chunk_size(num_winners)
    assert chunk >= 32
    assert num_winners <= 8192 * chunk
