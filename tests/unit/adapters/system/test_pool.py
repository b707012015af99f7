"""Work on many files: in this process, in several, and where the system ends one."""

import os
import signal

import pytest
import torch
from support.orphans import all_end_with_it

from simcrop.adapters.system.pool import run_all, usable_cores
from simcrop.core.errors import DataError


@pytest.mark.parametrize(("workers", "num_tasks"), [(1, 5), (2, 3), (2, 6)])
def test_every_task_is_done_once_with_what_is_shared(workers: int, num_tasks: int) -> None:
    found = dict(run_all(pow, 3, range(num_tasks), workers))
    assert found == {task: 3**task for task in range(num_tasks)}


def test_one_worker_takes_the_tasks_in_their_order_and_one_at_a_time() -> None:
    begun: list[int] = []
    results = run_all(lambda shared, task: shared.append(task), begun, [3, 1, 2], 1)
    assert next(results)[0] == 3
    assert begun == [3]


def filled(size: int, value: int) -> torch.Tensor:
    return torch.full((size,), value, dtype=torch.int16)


def test_tensors_of_other_processes_take_no_shared_memory() -> None:
    found = dict(run_all(filled, 5, range(4), 2))
    assert {task: tensor.tolist() for task, tensor in found.items()} == {task: [task] * 5 for task in range(4)}
    assert not any(tensor.is_shared() for tensor in found.values())


def end_itself(_: None, task: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_the_system_ends_is_told_with_a_remedy() -> None:
    with pytest.raises(DataError, match=r"^one of 2 processes was ended by the system, .* use fewer workers, then run"):
        list(run_all(end_itself, None, range(4), 2))


WORKS_FOR_EVER = """
import os, sys, time
from simcrop.adapters.system.pool import run_all, usable_cores

def work(slow, task):
    os.write(1, b".")
    while slow or task == 0:
        time.sleep(1)

if __name__ == "__main__":
    for _ in run_all(work, {slow}, range(8), 4):
        pass
"""


@pytest.mark.parametrize("slow", [True, False])
def test_processes_end_with_the_one_that_is_killed_at_work_and_while_they_wait_for_it(slow: bool) -> None:
    assert all_end_with_it(WORKS_FOR_EVER.format(slow=slow), ready=4 if slow else 8)


def test_a_job_of_a_cluster_uses_its_own_cores_and_not_those_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 128)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr("os.sched_getaffinity")
    assert usable_cores() == 128
