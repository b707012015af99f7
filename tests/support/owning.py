"""Processes that own a folder, and the marks of those that no longer do."""

import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import torch

from simcrop.adapters.system.locks import owned
from simcrop_cli.__main__ import main

FORK = multiprocessing.get_context("fork")
RECORD = ".simcrop.lock.json"
PATIENCE = 300


def wait_for(reached: Callable[[], bool], process: ForkProcess | None = None) -> None:
    """Wait until something holds that a process brings about."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert process is None or process.is_alive(), "it ended by itself"
        assert time.monotonic() < deadline, "too slow"
        time.sleep(0.002)


def begun(work: Callable[..., None], *arguments: Any) -> ForkProcess:
    """A process of its own that does some work."""
    process = FORK.Process(target=work, args=arguments)
    process.start()
    return process


def command(arguments: list[str], log: Path) -> ForkProcess:
    """A command of simcrop in a process of its own; what it says lies in `log`."""
    return begun(_run, arguments, log)


def _run(arguments: list[str], log: Path) -> None:
    torch.set_num_threads(1)
    with log.open("w") as file, redirect_stdout(file), redirect_stderr(file):
        status = main(arguments)
        file.flush()
        sys.exit(status)


@contextmanager
def held(folder: Path, **how: Any) -> Iterator[ForkProcess]:
    """Another process owns the folder; afterwards it is dead."""
    (folder / "at work").unlink(missing_ok=True)
    process = begun(_hold, folder, how)
    try:
        wait_for((folder / "at work").exists, process)
        yield process
    finally:
        process.kill()
        process.join()
        (folder / "at work").unlink(missing_ok=True)


def _hold(folder: Path, how: dict[str, Any]) -> None:
    with owned(folder, **how):
        (folder / "at work").touch()
        time.sleep(PATIENCE)


def write_record(folder: Path, **changed: Any) -> Path:
    """What a process has left that worked on another host."""
    folder.mkdir(parents=True, exist_ok=True)
    row = {"host": "node7", "process": 4711, "since": "2026-01-02 03:04:05+00:00", "boot": "another"} | changed
    record = folder / RECORD
    record.write_text(json.dumps(row))
    return record
