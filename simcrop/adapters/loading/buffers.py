"""Memory that data workers write voxels into, and the way from it to the device, so that nothing waits for a copy."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import torch
from jaxtyping import Int16
from torch import Tensor

from simcrop.core.data.batch import PreparedBatch
from simcrop.core.errors import ConfigError, SimcropError

Step = TypeVar("Step")


def shared_room(num_values: int) -> Int16[Tensor, "n"]:
    """Memory that processes share, not yet touched.

    Raises:
        ConfigError: the system has no room for it.
    """
    num_bytes = 2 * num_values
    try:
        # As torch's own collate does; the public share_memory_() would first copy what is not there yet.
        storage = torch.UntypedStorage._new_shared(num_bytes, device="cpu")  # pyright: ignore[reportPrivateUsage]
    except RuntimeError as error:
        raise ConfigError(
            f"data.num_workers: there is no shared memory for {num_bytes / 1e9:.1f} GB of voxels from workers; "
            "make /dev/shm larger (docker run --shm-size), write fewer, or 0"
        ) from error
    return torch.empty(0, dtype=torch.int16).set_(storage)


class Ring:
    """A few rooms of shared memory that batches use in turn, page-locked where there is a GPU.

    A batch is sent without its voxels, which lie in the room of its number. They stay until `num_rooms` numbers later.

    Args:
        num_rooms: batches that may be read, or be in use, at a time.
        num_values: voxels of the largest batch.
    """

    def __init__(self, num_rooms: int, num_values: int) -> None:
        self._memory = shared_room(num_rooms * num_values)
        self._rooms = self._memory.view(num_rooms, num_values)

    def room(self, number: int) -> Int16[Tensor, "n"]:
        """Where the voxels of a batch belong."""
        return self._rooms[number % len(self._rooms)]

    def detached(self, batch: PreparedBatch) -> PreparedBatch:
        """A batch whose voxels lie in its room, as it is sent."""
        return replace(batch, volume=batch.volume.new_empty(0))

    def attached(self, batches: Iterator[PreparedBatch], first: int) -> Iterator[PreparedBatch]:
        """The batches from number `first` on, as they arrive from workers, with their voxels.

        Raises:
            ConfigError: the memory cannot be locked.
        """
        with ExitStack() as lock:
            for number, batch in enumerate(batches, first):
                # Not before the first is there: workers are started with memory that is not yet locked.
                if number == first and torch.cuda.is_available():
                    lock.enter_context(_locked(self._memory))
                yield replace(batch, volume=self.room(number)[: batch.num_voxels])


@contextmanager
def _locked(memory: Tensor) -> Generator[None]:
    """Keep memory at its place, so that a GPU reads it by itself."""
    cudart: Any = torch.cuda.cudart()
    if cudart.cudaHostRegister(memory.data_ptr(), memory.nbytes, 0) != cudart.cudaError.success:
        raise ConfigError(
            f"data.num_workers: {memory.nbytes / 1e9:.1f} GB for the batches of all workers cannot be page-locked; "
            "write fewer, or 0"
        )
    try:
        yield
    finally:
        cudart.cudaHostUnregister(memory.data_ptr())


def ahead(steps: Iterator[Sequence[PreparedBatch]], device: torch.device) -> Iterator[Sequence[PreparedBatch]]:
    """The batches of each step; on a GPU with their voxels there, those of the next step copied during this one.

    All else stays on the CPU, where it is counted.
    """
    if device.type != "cuda":
        return steps
    side = torch.cuda.Stream(device)
    return one_ahead(steps, partial(_copied, device=device, side=side), side.synchronize)


def one_ahead(steps: Iterator[Step], begin: Callable[[Step], Step], finish: Callable[[], object]) -> Iterator[Step]:
    """What `begin` makes of each step, called for the next one before this one is given.

    Args:
        steps: endless; the memory of a step may be used again once the next is asked for.
        begin: starts the work on a step.
        finish: waits for all that was started.
    """
    try:
        upcoming = begin(next(steps))
        while True:
            current = upcoming
            finish()
            try:
                upcoming = begin(next(steps))
            except SimcropError:
                # Of the next step, which may never be needed: this one is the last of most runs.
                yield current
                raise
            yield current
    finally:
        finish()


def _copied(step: Sequence[PreparedBatch], device: torch.device, side: torch.cuda.Stream) -> Sequence[PreparedBatch]:
    with torch.cuda.stream(side):
        volumes = [batch.volume.to(device, non_blocking=True) for batch in step]
    for volume in volumes:
        # Allocated on one stream, used on another: its memory is not given to the next copy while this step runs.
        volume.record_stream(torch.cuda.current_stream(device))
    return [replace(batch, volume=volume) for batch, volume in zip(step, volumes, strict=True)]
