"""Winners grouped by patch, and hubs shared out."""

import pytest
import torch
from support.parity import DEVICE

from simcrop.kernels.winners import by_patch, chunk_size, split


def longest_reads(counts: list[int], chunk: int) -> tuple[int, int]:
    """The most winners, and the most sums of chunks, that one program reads where patches have so many winners each."""
    winners = sums = begin = 0
    for count in counts:
        end = begin + count
        head, first, last, tail = split.fn(begin, end, chunk)
        assert begin <= head <= tail <= end
        assert tail - head == max(0, last - first) * chunk
        winners = max(winners, head - begin + end - tail, chunk if last > first else 0)
        sums = max(sums, last - first)
        begin = end
    return winners, sums


def test_sorted_by_patch_then_sentence_and_hidden_ones_last() -> None:
    draw = torch.Generator().manual_seed(0)
    winners, shown = torch.randint(9, (12, 5), generator=draw), torch.rand(12, generator=draw) > 0.3
    keys, begin = by_patch(winners.to(DEVICE), shown.to(DEVICE), 2 * 11, 6, 11)
    rows = torch.where(shown[:, None], winners + torch.arange(12)[:, None] // 6 * 11, 22).flatten()
    wanted = rows.sort(stable=True)
    assert (keys.cpu() >> 32).tolist() == wanted.values.tolist()
    assert (keys.cpu() & 0xFFFFFFFF).tolist() == wanted.indices.tolist()
    assert begin.tolist() == torch.searchsorted(wanted.values, torch.arange(23)).tolist()


def test_no_winners() -> None:
    keys, begin = by_patch(torch.empty(0, 3).long().to(DEVICE), torch.ones(0).bool().to(DEVICE), 200, 1, 0)
    assert keys.tolist() == []
    assert begin.tolist() == [0] * 201


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
