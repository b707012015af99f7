"""Ranks over gloo in forked processes, for what needs more than one; quick, since nothing is imported anew."""

import multiprocessing
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from simcrop.adapters.system.meeting import Meeting
from simcrop.adapters.system.ranks import TorchRanks, disconnect
from support.torchrun import free_port

FORK = multiprocessing.get_context("fork")
PATIENCE_S = 120


def in_processes(count: int, function: Callable[[int], Any]) -> list[Any]:
    """What `function` returns, or the error that it raises, in each of some forked processes; it is given a number."""
    results: Any = FORK.Queue()

    def run(number: int) -> None:
        torch.set_num_threads(1)
        try:
            result = function(number)
        except Exception as error:
            result = error
        results.put((number, result))

    processes = [FORK.Process(target=run, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    try:
        found = dict(results.get(timeout=PATIENCE_S) for _ in processes)
    finally:
        for process in processes:
            process.join(PATIENCE_S)
            process.kill()
    return [found[number] for number in range(count)]


def on_forked_ranks(world_size: int, function: Callable[[TorchRanks], Any], *, patience_s: float = 60) -> list[Any]:
    """What `function` returns, or the error that it raises, on each rank; a store in this process outlives them."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def run(rank: int) -> Any:
        client = dist.TCPStore("127.0.0.1", store.port, is_master=False)
        group = dist.PrefixStore("group", client)
        timeout = timedelta(seconds=patience_s)
        dist.init_process_group("gloo", store=group, rank=rank, world_size=world_size, timeout=timeout)
        meeting = Meeting(dist.PrefixStore("meeting", client), rank, world_size, patience_s=patience_s)
        try:
            return function(TorchRanks(meeting))
        finally:
            meeting.close()
            disconnect()

    return in_processes(world_size, run)


def under_a_launcher(world_size: int, function: Callable[[int], Any]) -> list[Any]:
    """The same for a function that connects by itself, by the variables that a plain launcher sets."""
    port = free_port()

    def run(rank: int) -> Any:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world_size)}
        return function(rank)

    return in_processes(world_size, run)
