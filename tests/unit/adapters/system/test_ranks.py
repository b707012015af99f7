"""Ranks: which device, one process without torchrun, and the collectives over a group of one.

Two ranks are in tests/e2e/test_ranks.py.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from support.forked_ranks import under_a_launcher
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from simcrop.adapters.system.meeting import Meeting
from simcrop.adapters.system.ranks import (
    TorchRanks,
    average_gradients,
    choose_device,
    choose_workers,
    connect,
    connected,
    disconnect,
)
from simcrop.core.errors import ConfigError, DataError, RanksError
from simcrop.core.ports import SingleProcess


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    communicator = connect(torch.device("cpu"))
    assert isinstance(communicator, SingleProcess)
    model = nn.Linear(1, 1)
    assert average_gradients(model, communicator) is model
    disconnect()


def test_cpu_is_taken_where_it_is_asked_for_or_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("cpu") == choose_device("auto") == torch.device("cpu")


def test_each_local_rank_takes_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match=r"train.device: .*local rank 2, but torch sees 2 GPUs; use auto or cpu"):
        choose_device("cuda")


def test_workers_are_as_many_as_asked_for_or_this_ranks_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert [choose_workers(3, cpu), choose_workers(0, gpu), choose_workers("auto", cpu)] == [3, 0, 0]
    for cores, ranks, expected in [(64, None, 8), (64, 2, 8), (64, 16, 4), (2, 1, 2), (2, 8, 0)]:
        monkeypatch.setattr("os.sched_getaffinity", lambda pid, cores=cores: set(range(cores)))
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
        if ranks is not None:
            monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
        assert choose_workers("auto", gpu) == expected


@pytest.fixture
def ranks(tmp_path: Path) -> Iterator[TorchRanks]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    meeting = Meeting(dist.HashStore(), 0, 1, patience_s=60)
    yield TorchRanks(meeting)
    meeting.close()
    disconnect()
    assert not dist.is_initialized()


def test_sum_leaves_its_argument_alone_and_has_no_gradient(ranks: TorchRanks) -> None:
    value = torch.tensor([1.0, 2.0], requires_grad=True)
    total = ranks.sum(value)
    total += 1
    assert value.tolist() == [1.0, 2.0]
    assert not total.requires_grad
    assert ranks.sum(torch.tensor([3, 4])).tolist() == [3, 4]


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_gather_keeps_types(ranks: TorchRanks, dtype: torch.dtype) -> None:
    value = torch.tensor([[1, 0], [0, 1]]).to(dtype)
    gathered = ranks.gather(value.t())
    assert gathered.dtype == dtype
    assert torch.equal(gathered, value.t())


def test_gather_passes_gradients(ranks: TorchRanks) -> None:
    value = torch.randn(3, 2, requires_grad=True)
    (ranks.gather(value) * torch.arange(6.0).view(3, 2)).sum().backward()
    assert value.grad is not None
    assert torch.equal(value.grad, torch.arange(6.0).view(3, 2))


def test_several_ranks_get_a_wrapper(ranks: TorchRanks) -> None:
    ranks.world_size = 2
    assert isinstance(average_gradients(nn.Linear(1, 1), ranks), DistributedDataParallel)


CPU = torch.device("cpu")


def test_a_plain_launcher_is_enough() -> None:
    def work(rank: int) -> list[float]:
        with connected(CPU, 1.0) as ranks:
            assert ranks.meet(f"fact {rank}") == ["fact 0", "fact 1"]
            return ranks.sum(torch.tensor([float(rank), 2.0])).tolist()

    assert under_a_launcher(2, work) == [[1.0, 4.0]] * 2


@pytest.mark.parametrize("bad", [0, 1])
def test_what_ends_one_rank_ends_the_others_with_its_reason(bad: int) -> None:
    def work(rank: int) -> None:
        with connected(CPU, 1.0) as ranks:
            if rank == bad:
                raise DataError("scan.nii.gz: damaged; replace it")
            for _ in range(3):
                ranks.sum(torch.ones(1))

    errors = under_a_launcher(3, work)
    assert isinstance(errors[bad], DataError)
    for error in errors[:bad] + errors[bad + 1 :]:
        assert isinstance(error, RanksError)
        assert str(error).startswith(f"rank {bad} (process ")
        assert str(error).endswith("has ended: scan.nii.gz: damaged; replace it")


def test_a_rank_that_does_not_come_to_an_exchange_is_named() -> None:
    def work(rank: int) -> None:
        with connected(CPU, 0.02) as ranks:
            ranks.sum(torch.ones(1))
            ranks.meet()
            if rank == 1:
                time.sleep(4)  # a living process whose main thread is stuck
                return
            ranks.sum(torch.ones(1))

    first, stuck = under_a_launcher(2, work)
    assert stuck is None
    assert isinstance(first, RanksError)
    assert str(first).startswith("rank 1 (process ")
    assert "does not answer (" in str(first)
    assert "train.timeout_minutes is 0.02; see what that rank says" in str(first)


def test_a_rank_that_is_asked_to_stop_before_it_trains_says_so() -> None:
    def work(rank: int) -> str:
        with contextlib.suppress(SystemExit), connected(CPU, 1.0) as ranks:
            if rank == 1:
                raise SystemExit(143)
            ranks.meet()
        return "stopped"

    first, second = under_a_launcher(2, work)
    assert second == "stopped"
    assert str(first).endswith("has ended: it was asked to stop")


def test_an_error_of_our_own_code_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), connected(CPU, 1.0):
        raise RuntimeError("shapes differ")
