"""Work on many files, in this process or in several."""

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

import torch

from simcrop.adapters.system.children import begin_worker
from simcrop.core.errors import DataError

Task = TypeVar("Task")
Result = TypeVar("Result")
_AHEAD = 4
"""Tasks that are begun for each process."""
_MIN_FOR_POOL = 4
"""Below this many tasks, starting processes takes longer than they save."""


def usable_cores() -> int:
    """Cores that this process may use: in a container or a job of a cluster fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_all(
    work: Callable[[Any, Task], Result], shared: Any, tasks: Sequence[Task], workers: int
) -> Iterator[tuple[Task, Result]]:
    """Yield (task, work(shared, task)) for every task, in the order in which they are finished.

    Few tasks are begun ahead of what is taken, so that large results do not pile up.

    Args:
        work: a function of a module, so that processes can be told of it.
        shared: its first argument, sent to each process once.
        tasks: its second argument.
        workers: processes, each with one thread; 1 works in this process.

    Raises:
        DataError: if the system ends a process.
    """
    if workers <= 1 or len(tasks) < _MIN_FOR_POOL:
        for task in tasks:
            yield task, work(shared, task)
        return
    with ProcessPoolExecutor(min(workers, len(tasks)), initializer=_start, initargs=(work, shared)) as pool:
        try:
            waiting = iter(tasks)
            begun = {pool.submit(_run, task): task for task in islice(waiting, _AHEAD * workers)}
            while begun:
                done: set[Future[Any]] = wait(begun, return_when=FIRST_COMPLETED).done
                for future in done:
                    yield begun.pop(future), pickle.loads(future.result())
                    begun |= {pool.submit(_run, task): task for task in islice(waiting, 1)}
        except BrokenProcessPool as error:
            raise DataError(
                f"one of {workers} processes was ended by the system, most likely for want of memory; "
                "free some or use fewer workers, then run the same command again"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_in_worker: dict[str, Any] = {}
"""What a worker process was started with; a pool cannot hand arguments to its initializer any other way."""


def _start(work: Any, shared: Any) -> None:
    begin_worker()
    torch.set_num_threads(1)
    _in_worker.update(work=work, shared=shared)


def _run(task: Any) -> bytes:
    # Bytes go through a pipe. Torch would lay tensors into shared memory, of which a container has 64 MB by default.
    return pickle.dumps(_in_worker["work"](_in_worker["shared"], task), pickle.HIGHEST_PROTOCOL)


Progress = Callable[[int, int], None]
"""Called with (volumes done, volumes in all)."""
