"""Ranks over torch.distributed, as torchrun starts them: gloo for CPU tensors, nccl for those of GPUs."""

import os
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.parallel import DistributedDataParallel

from simcrop.core.errors import ConfigError
from simcrop.core.ports import Communicator, SingleProcess

_TIMEOUT = timedelta(hours=12)
"""Rank 0 may prepare a whole data set while the others wait; a rank that died is noticed by torchrun at once."""

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
    """The port Communicator over the default process group."""

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()

    def sum(self, value: Tensor) -> Tensor:
        """Sum over ranks, without gradient, on the device that `value` is on."""
        total = value.detach().clone()
        dist.all_reduce(total)
        return total

    def gather(self, value: Tensor) -> Tensor:
        """Concatenation over ranks along dim 0; bool and CPU tensors included."""
        sent = value.to(torch.uint8 if value.dtype == torch.bool else value.dtype).contiguous()
        gathered: Tensor = _Gather.apply(sent)
        return gathered.to(value.dtype)

    def barrier(self) -> None:
        """Wait for every rank."""
        dist.barrier()


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


def connect(device: torch.device) -> Communicator:
    """The ranks that torchrun's environment announces; one process without it."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return SingleProcess()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # What the CPUs know they exchange themselves: through a GPU it would wait for all that the GPU has still to do.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    return TorchRanks()


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
    if communicator.world_size == 1:
        return model
    # A group of its own: gathers inside the backward pass must not queue between the buckets of gradients.
    group = dist.new_group(timeout=_TIMEOUT)
    network = DistributedDataParallel(model, process_group=group, gradient_as_bucket_view=True)
    # They are tables that never change: to send them once is enough. The argument's name depends on torch's version.
    network.broadcast_buffers = False
    return network
