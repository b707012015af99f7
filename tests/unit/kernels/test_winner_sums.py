"""Hubs: patches whose many winners are shared out."""

import pytest

from simcrop.kernels.winner_sums import chunk_size, rows_at_once, whole_chunks


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


@pytest.mark.parametrize("block", [16, 1024, 2048, 4096])
def test_rows_at_once_fit_registers(block: int) -> None:
    """Two sums of each value in fp32, over 256 threads."""
    assert 1 <= rows_at_once(block) <= 8
    assert 2 * rows_at_once(block) * block / 256 <= 64
