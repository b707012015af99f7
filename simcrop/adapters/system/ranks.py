"""Ranks over torch.distributed, as torchrun starts them: gloo for CPU tensors, nccl for those of GPUs."""

import os
import platform
import re
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from simcrop.adapters.system.meeting import GATHERING_SECONDS, Meeting, begin_attempt
from simcrop.core.errors import ConfigError, RanksError, one_line
from simcrop.core.ports import Communicator, SingleProcess

_OF_RANKS = re.compile(r"gloo|NCCL|Connection (closed|reset|refused)|Broken pipe", re.IGNORECASE)
"""What an error says that comes from an exchange, and is a plain RuntimeError."""
_PLACE = re.compile(r"\[\S+:\d+\] ?")
"""A line of a library's code, or an address, in such an error."""
_MOST_WORKERS = 8


class _Gather(torch.autograd.Function):
    """all_gather whose backward pass sums over ranks.

    Every rank's loss is its share of a step's loss and DDP averages the parameters' gradients, so what all ranks send
    back for a slice is added up here, not averaged.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, value: Tensor) -> Tensor:
        parts = [torch.empty_like(value) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, value)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Any) -> Tensor:
        gradient: Tensor = grad_outputs[0].contiguous().clone()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]


class TorchRanks:
    """The port Communicator over the default process group.

    Args:
        meeting: of the same ranks.
    """

    def __init__(self, meeting: Meeting) -> None:
        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()
        self.meeting = meeting

    def sum(self, value: Tensor) -> Tensor:
        """Sum over ranks, without gradient, on the device that `value` is on."""
        if value.device.type == "cpu":
            self.meeting.mark()
        total = value.detach().clone()
        dist.all_reduce(total)
        return total

    def gather(self, value: Tensor) -> Tensor:
        """Concatenation over ranks along dim 0; bool and CPU tensors included."""
        sent = value.to(torch.uint8 if value.dtype == torch.bool else value.dtype).contiguous()
        gathered: Tensor = _Gather.apply(sent)
        return gathered.to(value.dtype)

    def meet(self, fact: str = "") -> list[str]:
        """What every rank says, in their order; waits as long as all of them live."""
        return self.meeting.gather(fact)


def choose_device(wanted: str) -> torch.device:
    """The device of this rank.

    Args:
        wanted: auto, cpu or cuda (`train.device`).

    Raises:
        ConfigError: cuda where torch sees no GPU, or fewer than this rank needs.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    index, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if index >= count:
        raise ConfigError(f"train.device: cuda for local rank {index}, but torch sees {count} GPUs; use auto or cpu")
    return torch.device("cuda", index)


def choose_workers(wanted: int | Literal["auto"], device: torch.device) -> int:
    """Data workers of this rank: as many as are wanted (`data.num_workers`).

    auto: on a GPU the rank's share of the cores that this process may use, at most 8; none on a CPU, whose cores all
    compute.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cpu":
        return 0
    return min(_MOST_WORKERS, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def is_first_rank() -> bool:
    """Whether this process is the only one or the first of torchrun's, which writes for all; known before `connect`."""
    return int(os.environ.get("RANK", "0")) == 0


def node_name() -> str:
    """A name of the machine, or of the part of it that an agent of torchrun starts processes in."""
    return f"{os.environ.get('GROUP_RANK', '')}@{platform.node()}"


@contextmanager
def connected(device: torch.device, timeout_minutes: float) -> Generator[Communicator]:
    """The ranks while the block runs; what ends one rank ends all, each with one line.

    Args:
        device: of this rank.
        timeout_minutes: see `connect`.

    Raises:
        RanksError: another rank has ended, or does not answer.
    """
    communicator = connect(device, timeout_minutes)
    try:
        yield communicator
    except RanksError:
        raise
    except RuntimeError as error:
        if isinstance(communicator, TorchRanks) and _is_of_ranks(error):
            raise communicator.meeting.lost(_PLACE.sub("", one_line(error))[:80]) from error
        _tell(communicator, one_line(error))
        raise
    except Exception as error:
        _tell(communicator, one_line(error) or type(error).__name__)
        raise
    except (SystemExit, KeyboardInterrupt):
        _tell(communicator, "it was asked to stop")
        raise
    finally:
        disconnect()  # so that ranks in an exchange look into the store while it is there
        if isinstance(communicator, TorchRanks):
            communicator.meeting.close()


def _is_of_ranks(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or (
        type(error) is RuntimeError and _OF_RANKS.search(str(error)) is not None
    )


def _tell(communicator: Communicator, reason: str) -> None:
    if isinstance(communicator, TorchRanks):
        communicator.meeting.fail(reason)


def connect(device: torch.device, timeout_minutes: float = 10.0) -> Communicator:
    """The ranks that torchrun's environment announces; one process without it.

    Args:
        device: of this rank.
        timeout_minutes: after which an exchange has failed, and a rank without a sign of life is taken for dead.

    Raises:
        RanksError: the others do not come.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return SingleProcess()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    shared, rank, world_size = next(rendezvous("env://", timeout=timedelta(seconds=GATHERING_SECONDS)))
    store = begin_attempt(shared, rank, world_size)
    is_host = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    # What the CPUs know they exchange themselves: through a GPU it would wait for all that the GPU has still to do.
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=dist.PrefixStore("group", store),
        rank=rank,
        world_size=world_size,
        timeout=timedelta(minutes=timeout_minutes),
    )
    meeting = dist.PrefixStore("meeting", store)
    return TorchRanks(Meeting(meeting, rank, world_size, patience_s=60 * timeout_minutes, is_host=is_host))


def disconnect() -> None:
    """Leave the ranks; nothing where there are none."""
    if dist.is_initialized():
        dist.destroy_process_group()


def average_gradients(model: nn.Module, communicator: Communicator) -> nn.Module:
    """The model, wrapped so that a backward pass averages its gradients over ranks.

    Args:
        model: on its device; rank 0's weights are sent to the others.
        communicator: the ranks; with one the model itself is returned.
    """
    if not isinstance(communicator, TorchRanks) or communicator.world_size == 1:
        return model
    # A group of its own: gathers inside the backward pass must not queue between the buckets of gradients.
    group = dist.new_group(timeout=timedelta(seconds=communicator.meeting.patience_s))
    network = DistributedDataParallel(model, process_group=group, gradient_as_bucket_view=True)
    # They are tables that never change: to send them once is enough. The argument's name depends on torch's version.
    network.broadcast_buffers = False
    return network
