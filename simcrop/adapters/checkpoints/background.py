"""Checkpoints that are written while training goes on: a step waits for a copy in memory, and for no disk."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Thread

import torch
from torch import Tensor, nn

from simcrop.adapters.checkpoints.after import AfterCheckpoint
from simcrop.adapters.checkpoints.store import Content, FolderCheckpoints
from simcrop.core.ports import State


@dataclass(eq=False)
class BackgroundCheckpoints:
    """The port CheckpointStore over a folder, which a thread writes; one checkpoint at a time.

    Attributes:
        store: writes the folders.
        after: told of each folder once it is whole; nobody is where it is None.
    """

    store: FolderCheckpoints
    after: AfterCheckpoint | None = None
    _writing: Thread | None = None
    _failed: BaseException | None = None

    def save(self, step: int, model: nn.Module, state: State, *, metrics: Mapping[str, float] | None = None) -> None:
        """Copy a checkpoint's content, and begin to write it; waits for the one before.

        Raises:
            CheckpointError: the disk refused the one before.
        """
        self._wait()
        content = self.store.content(step, model, state, metrics or {})
        content = replace(content, weights=_copies(content.weights), tensors=_copies(content.tensors))
        # A process that is told to leave at once does not wait for a daemon: the previous checkpoint stays.
        self._writing = Thread(target=self._write, args=(content,), name=f"simcrop checkpoint {step}", daemon=True)
        self._writing.start()

    def check(self) -> None:
        """Raise what the disk refused, if that is known by now."""
        if self._writing is not None and not self._writing.is_alive():
            self._wait()

    def finish(self) -> None:
        """Wait until all is written, and what comes after it is done.

        Raises:
            CheckpointError: the disk refused.
        """
        self._wait()
        if self.after is not None:
            self.after.finish()

    def _write(self, content: Content) -> None:
        try:
            folder = self.store.write(content)
            if self.after is not None:
                self.after(folder, content.step)
        except BaseException as error:  # raised by whoever waits
            self._failed = error

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.join()
        self._writing = None
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU; from a GPU by way of page-locked memory, all of them at once."""
    copies = {
        name: torch.empty(value.shape, dtype=value.dtype, pin_memory=value.is_cuda).copy_(value, non_blocking=True)
        for name, value in tensors.items()
    }
    for device in {value.device for value in tensors.values() if value.is_cuda}:
        torch.cuda.synchronize(device)
    return copies
