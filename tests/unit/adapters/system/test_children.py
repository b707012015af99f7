"""Processes that end with the one that started them, and what signals do to them before."""

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest
from support.orphans import all_end_with_it

from simcrop.adapters.system import children

FORK = multiprocessing.get_context("fork")
STARTS_WORKERS = """
import multiprocessing, os, time
from simcrop.adapters.system import children

def work(parent, late):
    os.write(1, b".")
    while late and os.getppid() == parent:
        time.sleep(0.01)
    children.{begin}()
    time.sleep(600)

if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    for _ in range(2):
        context.Process(target=work, args=(os.getpid(), {late})).start()
    time.sleep(600)
"""


@pytest.mark.parametrize("begin", ["begin_worker", "begin_reader"])
def test_a_worker_ends_with_a_parent_that_is_killed(begin: str) -> None:
    assert all_end_with_it(STARTS_WORKERS.format(begin=begin, method="fork", late=False), ready=2)


def test_a_worker_whose_parent_is_gone_before_it_begins_ends_too() -> None:
    assert all_end_with_it(STARTS_WORKERS.format(begin="begin_worker", method="fork", late=True), ready=2)


def signalled(begin: Callable[[], None], *numbers: int, by_parent: bool = True) -> int | None:
    """Exit code of a child that begins so, gets signals, and works for half a second more."""

    def work(ready: Connection) -> None:
        begin()
        ready.send(True)
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            time.sleep(0.01)

    here, there = multiprocessing.Pipe()
    child = FORK.Process(target=work, args=(there,))
    child.start()
    assert here.recv()
    for number in numbers:
        if by_parent:
            os.kill(child.pid or 0, number)
        else:
            subprocess.run(["kill", f"-{number}", str(child.pid)], check=True)
    child.join(60)
    return child.exitcode


def test_the_parent_alone_answers_requests_to_stop() -> None:
    assert signalled(children.begin_worker, signal.SIGINT, signal.SIGUSR1) == 0
    assert signalled(children.begin_reader, signal.SIGINT, signal.SIGUSR1) == 0


def test_a_worker_of_a_pool_is_terminated_by_anybody_and_a_reader_by_its_parent_alone() -> None:
    assert signalled(children.begin_worker, signal.SIGTERM, by_parent=False) == -signal.SIGTERM
    assert signalled(children.begin_reader, signal.SIGTERM, by_parent=False) == 0
    assert signalled(children.begin_reader, signal.SIGTERM) == 1


def test_the_watch_calls_once_when_the_parent_is_gone() -> None:
    here, there = multiprocessing.Pipe(duplex=False)
    middle = os.fork()
    if middle == 0:
        if os.fork() == 0:
            children.watch_parent(lambda: there.send("gone"), every=0.01)
            there.send("watching")
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(middle, 0)
    there.close()
    told = [here.recv(), here.recv()]
    assert sorted(told) == ["gone", "watching"]
    with pytest.raises(EOFError):
        here.recv()
