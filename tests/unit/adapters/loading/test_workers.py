"""Items that are read by processes: in order, with errors for the user, and without torch's own generator."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import time

import pytest
import torch
from support.orphans import all_end_with_it

from simcrop.adapters.loading.workers import dead_workers_told, read_items
from simcrop.core.errors import DataError


def square(key: int) -> torch.Tensor:
    if key == 7:
        raise DataError("7.npy: is damaged")
    return torch.tensor(key * key)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_items_come_in_the_order_of_endless_keys_and_draw_nothing(num_workers: int) -> None:
    before = torch.get_rng_state()
    read = read_items(square, itertools.count(10), num_workers=num_workers)
    assert [int(item) for item in itertools.islice(read, 5)] == [100, 121, 144, 169, 196]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_for_the_user_arrives_as_it_was_raised(num_workers: int) -> None:
    read = read_items(square, [1, 7, 2], num_workers=num_workers)
    assert int(next(read)) == 1
    with pytest.raises(DataError, match=r"^7.npy: is damaged$"):
        next(read)


def end_itself(key: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return key


def test_a_killed_worker_is_told_with_a_remedy() -> None:
    with pytest.raises(DataError, match=r"^data\.num_workers: a data worker was ended by the system, .* or 0$"):
        next(read_items(end_itself, [1], num_workers=1))


def end_itself_later(key: int) -> int:
    if key:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    return key


def test_so_is_one_that_is_killed_while_a_step_computes() -> None:
    @dead_workers_told()
    def train() -> None:
        read = read_items(end_itself_later, [0, 1], num_workers=1)
        next(read)
        time.sleep(30)

    with pytest.raises(DataError, match=r"^data\.num_workers: a data worker was ended by the system, .* or 0$"):
        train()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_workers_go_on_reading_when_a_cluster_signals_every_process_of_a_job(number: int) -> None:
    read = read_items(square, itertools.count(10), num_workers=2)
    assert [int(item) for item in itertools.islice(read, 2)] == [100, 121]  # both have begun
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        subprocess.run(["kill", f"-{number}", str(worker.pid)], check=True)  # not by their parent, whom they obey
    assert [int(item) for item in itertools.islice(read, 20)] == [key * key for key in range(12, 32)]


READS_FOR_EVER = """
import itertools, os, time
from simcrop.adapters.loading.workers import read_items

def read(key):
    os.write(1, b".")
    if {stuck} and key:
        time.sleep(600)
    return key

if __name__ == "__main__":
    for item in read_items(read, itertools.count(), num_workers=2):
        time.sleep(600)
"""


@pytest.mark.parametrize("stuck", [True, False])
def test_workers_end_with_the_one_that_is_killed(stuck: bool) -> None:
    assert all_end_with_it(READS_FOR_EVER.format(stuck=stuck), ready=3)
