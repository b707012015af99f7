"""Measure what each storage of prepared volumes costs on this machine: room on the disk, time to read."""

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from typing import get_args

import torch
from jaxtyping import Int16
from torch import Tensor

from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.storage import Storage, StorageName, storage_named
from simcrop.adapters.system.cache_folder import cache_file
from simcrop.core.data.augment import size_of
from simcrop.core.errors import ConfigError, DataError


@dataclass(frozen=True)
class StorageCost:
    """What a volume costs.

    Attributes:
        num_bytes: on the disk.
        warm_s: time of a core to read it whole, its pages in memory.
        cold_s: time to read it whole from the disk.
    """

    num_bytes: float
    warm_s: float
    cold_s: float


def describe_costs(prepared: PreparedVolumes, names: Sequence[str], count: int) -> Iterator[str]:
    """A line for each storage, or why it cannot be measured, and one for the disk.

    Args:
        prepared: where some volumes are.
        names: of these; they are measured, in files that are removed.
        count: volumes that there will be.

    Raises:
        DataError: one of them is damaged.
    """
    volumes = [prepared.read(name) for name in names]
    for name in get_args(StorageName):
        try:
            cost = storage_cost(storage_named(name), volumes, prepared.folder)
        except (ConfigError, DataError) as missing:
            # This is advice: a disk that takes no more may hold all that is asked of it.
            yield str(missing)
            continue
        speed = volumes[0].nbytes / cost.warm_s / 1e6
        yield (
            f"data.storage {name}: {cost.num_bytes / 1e6:.2f} MB a volume, {count * cost.num_bytes / 1e9:.3g} GB for "
            f"{count}; to read one takes {cost.warm_s * 1e3:.1f} ms of a core ({speed:,.0f} MB/s), "
            f"{cost.cold_s * 1e3:.1f} ms from the disk"
        )
    free = shutil.disk_usage(prepared.folder).free
    yield f"the disk has {free / 1e9:.0f} GB free, the machine {os.cpu_count()} cores"


def storage_cost(storage: Storage, volumes: Sequence[Int16[Tensor, "H W D"]], folder: Path) -> StorageCost:
    """The median of what volumes cost in a storage, on the disk of a folder. Raises DataError where that is full."""
    # A name that is cleared away if this process is killed.
    path = folder / f".costs.{secrets.token_hex(4)}.draft"
    try:
        costs = [_cost(storage, voxels, path) for voxels in volumes]
    finally:
        path.unlink(missing_ok=True)
    num_bytes, warm, cold = (median(values) for values in zip(*map(astuple, costs), strict=True))
    return StorageCost(num_bytes, warm, cold)


def _cost(storage: Storage, voxels: Tensor, path: Path) -> StorageCost:
    size = size_of(voxels)
    x, y, z = (slice(0, n) for n in size)
    into = torch.empty(size, dtype=torch.int16)

    def read_seconds(clock: Callable[[], float]) -> float:
        start = clock()
        storage.open(path, size).copy_part((x, y, z), into)
        return clock() - start

    with cache_file(path) as file:
        storage.write(file, voxels.numpy())
    read_seconds(time.perf_counter)
    drop_pages(path)
    cold = read_seconds(time.perf_counter)
    return StorageCost(path.stat().st_size, min(read_seconds(time.process_time) for _ in range(3)), cold)


def drop_pages(path: Path) -> None:
    """Have the next read of a file that is on the disk come from there, where the system obeys."""
    with path.open("rb") as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
