"""Items of a data set, read by processes of their own, with errors that a user can act on."""

import gc
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from simcrop.adapters.system.children import begin_reader
from simcrop.core.errors import DataError, SimcropError

Key = TypeVar("Key")
Item = TypeVar("Item")


def read_items(
    read: Callable[[Key], Item],
    keys: Iterable[Key],
    *,
    num_workers: int,
    prefetch_factor: int = 2,
    pin_memory: bool = False,
) -> Iterator[Item]:
    """The items of `keys`, in their order.

    Args:
        read: gives the item of a key; in another process where there are workers, so it has to be picklable.
        keys: what to read; may be endless.
        num_workers: processes that read ahead; 0 reads in this one.
        prefetch_factor: items that each of them keeps ready.
        pin_memory: page-locked tensors, for a GPU.

    Raises:
        SimcropError: what `read` raised.
        DataError: the system ended a worker.
    """
    loader: DataLoader[Any] = DataLoader(
        _Items(read),
        batch_size=None,
        sampler=keys,
        num_workers=num_workers,
        prefetch_factor=prefetch_factor if num_workers else None,
        pin_memory=pin_memory,
        collate_fn=_as_it_is,
        worker_init_fn=_begin,
        # A generator of its own, so that loading never draws from torch's global one.
        generator=torch.Generator(),
    )
    with dead_workers_told():
        for item in loader:
            if isinstance(item, SimcropError):
                raise item
            yield item


@contextmanager
def dead_workers_told() -> Generator[None]:
    """Say what to do where the system ends a worker; torch raises that at once, in whatever this process is doing then.

    Raises:
        DataError: the system ended a worker.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error) or isinstance(error, SimcropError):
            raise
        raise DataError(
            "data.num_workers: a data worker was ended by the system, most likely for want of (shared) memory; "
            "write fewer, or 0"
        ) from error


class _Items(Dataset[Any]):
    """Key -> item. An error for the user is returned, since torch would wrap a raised one."""

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self._read = read

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._read(key)
        except SimcropError as error:
            return error


def _begin(worker: int) -> None:
    begin_reader()
    # The collector of garbage is kept off what is shared with the main process: to look at it is to copy it.
    gc.freeze()


def _as_it_is(item: Any) -> Any:
    return item
