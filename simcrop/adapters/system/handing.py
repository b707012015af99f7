"""Hand a folder from rank 0 to ranks that do not have it, where nodes share no disk."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from simcrop.adapters.system.files import whole_folder
from simcrop.adapters.system.ranks import TorchRanks

CHUNK_BYTES = 1 << 24
"""Sent at a time, so that memory holds no more of several GB."""


def hand_folder(source: Path | None, target: Path, receivers: Sequence[int], ranks: TorchRanks) -> None:
    """Write on some ranks what a folder of rank 0 holds; every rank calls.

    Args:
        source: the folder, on rank 0; elsewhere it is not looked at.
        target: where a receiver writes it, whole or not at all.
        receivers: the ranks that lack it.
        ranks: all of them.

    Raises:
        OSError: a disk refuses.
    """
    files: list[tuple[str, int]] = []
    if ranks.rank == 0 and source is not None:
        paths = sorted(path for path in source.rglob("*") if path.is_file())
        files = [(path.relative_to(source).as_posix(), path.stat().st_size) for path in paths]
    files = json.loads(ranks.meet(json.dumps(files))[0])
    group = dist.new_group([0, *receivers], timeout=timedelta(seconds=ranks.meeting.patience_s))
    if isinstance(group, dist.ProcessGroup) and ranks.rank == 0 and source is not None:
        for name, _ in files:
            for chunk in _chunks(source / name):
                dist.broadcast(chunk, 0, group=group)
    elif isinstance(group, dist.ProcessGroup):
        with whole_folder(target, durable=False) as draft:
            for name, size in files:
                _receive(draft / name, size, group)
    ranks.meet()


def _chunks(path: Path) -> Iterator[torch.Tensor]:
    with path.open("rb") as file:
        while read := file.read(CHUNK_BYTES):
            yield torch.frombuffer(bytearray(read), dtype=torch.uint8)


def _receive(path: Path, size: int, group: dist.ProcessGroup) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for first in range(0, size, CHUNK_BYTES):
            chunk = torch.empty(min(CHUNK_BYTES, size - first), dtype=torch.uint8)
            dist.broadcast(chunk, 0, group=group)
            file.write(np.asarray(chunk).tobytes())
