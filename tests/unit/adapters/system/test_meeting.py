"""Ranks that meet through a store, played by threads: what they tell, whom they miss, and whose restart they are in."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
import torch.distributed as dist

from simcrop.adapters.system.meeting import Meeting, begin_attempt
from simcrop.core.errors import RanksError

T = TypeVar("T")


@contextmanager
def meetings(count: int, *, patience_s: float = 60) -> Iterator[list[Meeting]]:
    store = dist.HashStore()
    met = [Meeting(store, rank, count, patience_s=patience_s) for rank in range(count)]
    try:
        yield met
    finally:
        for meeting in met:
            meeting.close()


def at_once(*works: Callable[[], T]) -> list[Any]:
    """What each work returns or raises, all of them running together."""
    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(work) for work in works]
        return [future.exception(60) or future.result() for future in futures]


def test_every_rank_hears_every_fact_in_order() -> None:
    with meetings(3) as met:
        for word in ("a", "b"):
            heard = at_once(*(lambda m=m, w=word: m.gather(f"{w}{m.rank}") for m in met))
            assert heard == [[f"{word}0", f"{word}1", f"{word}2"]] * 3


def test_a_wait_outlasts_patience_while_the_other_lives() -> None:
    with meetings(2, patience_s=0.3) as met:

        def late() -> list[str]:
            time.sleep(0.9)
            return met[0].gather()

        assert at_once(late, met[1].gather) == [["", ""]] * 2


def test_what_ended_one_rank_is_what_the_others_are_told() -> None:
    with meetings(3) as met:
        met[1].fail("scan.nii.gz: damaged")
        met[2].fail("something later")
        for error in at_once(met[0].gather, met[2].gather):
            assert isinstance(error, RanksError)
            assert str(error).startswith("rank 1 (process ")
            assert str(error).endswith("has ended: scan.nii.gz: damaged")
        assert str(met[0].lost("connection closed")).endswith("scan.nii.gz: damaged")


def test_a_rank_without_a_sign_of_life_is_named() -> None:
    with meetings(3, patience_s=0.5) as met:
        met[2].close()
        first, second = at_once(met[0].gather, met[1].gather)
        assert str(first).startswith("rank 2 (process ")
        assert "does not answer (no sign of life for 0 s); train.timeout_minutes is 0.00833" in str(first)
        assert str(second) == str(first)
        assert str(met[1].lost("timed out")) == str(first)


def test_a_lost_exchange_names_who_is_silent_or_else_who_is_behind() -> None:
    with meetings(3, patience_s=1) as met:
        for meeting in (*met, met[0], met[1]):
            meeting.mark()
        assert str(met[0].lost("timed out")).startswith("rank 2 (process ")
    with meetings(3, patience_s=1) as met:
        for meeting in met:
            meeting.mark()
        met[1].close()
        assert str(met[0].lost("timed out")).startswith("rank 1 (process ")
    with meetings(2, patience_s=1) as met:
        for meeting in met:
            meeting.mark()
        assert str(met[0].lost("timed out")).startswith("a rank that cannot be told does not answer (timed out)")


def begun(store: dist.Store, rank: int, nonce: str, seconds: float = 60) -> Callable[[], dist.Store]:
    return lambda: begin_attempt(store, rank, 2, seconds=seconds, nonce=nonce)


def test_an_attempt_shares_nothing_with_the_one_before() -> None:
    store = dist.HashStore()
    for number in range(3):
        first, second = at_once(begun(store, 0, f"a{number}"), begun(store, 1, f"b{number}"))
        assert not second.check(["address"])
        first.set("address", f"of attempt {number}")
        assert second.check(["address"]), "both are in one attempt"
        assert second.get("address").decode() == f"of attempt {number}"


def test_a_process_that_was_replaced_while_others_gathered_is_waited_for_anew() -> None:
    store = dist.HashStore()
    store.set("here/1", "dead")  # by a process that was killed before rank 0 looked
    first = threading.Event()

    def late() -> dist.Store:
        assert first.wait(60)
        return begun(store, 1, "alive")()

    def rank_0() -> dist.Store:
        threading.Timer(0.1, first.set).start()
        return begun(store, 0, "zero")()

    mine, other = at_once(rank_0, late)
    mine.set("key", "value")
    assert other.check(["key"])


def test_who_does_not_come_is_named() -> None:
    with pytest.raises(RanksError, match=r"^rank 1: not there after 0 s; see that every node runs the same command"):
        begun(dist.HashStore(), 0, "a", 0.05)()
    with pytest.raises(RanksError, match=r"^rank 0: not there"):
        begun(dist.HashStore(), 1, "b", 0.05)()
