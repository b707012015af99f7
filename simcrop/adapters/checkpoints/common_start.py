"""All ranks of a run start from the checkpoint that rank 0 finds, whether their nodes share its folder or not.

Rank 0's folder counts, since rank 0 alone writes checkpoints. A node that lacks the files is sent them, rather than the
weights and moments in memory: so they are read and verified as any checkpoint's.

OUT/.received/step_00000300/     such files, until the run ends
"""

import json
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simcrop.adapters.checkpoints.folder import Checkpoint, open_checkpoint, step_folders, step_of
from simcrop.adapters.system.files import make_folder, sha256_of
from simcrop.adapters.system.handing import hand_folder
from simcrop.adapters.system.ranks import TorchRanks
from simcrop.core.errors import CheckpointError
from simcrop.core.ports import Communicator

_RECEIVED = ".received"


@contextmanager
def common_start(
    find: Callable[[], Checkpoint | None], out: Path, communicator: Communicator, *, node: str
) -> Generator[Checkpoint | None]:
    """The checkpoint that every rank starts from, or None for a fresh run; what was sent goes after the block.

    The ranks meet once more in the block, when each has read what it needs.

    Args:
        find: finds it, on rank 0.
        out: the run folder, as this rank knows it.
        communicator: the ranks.
        node: name of this rank's node.

    Raises:
        CheckpointError: on every rank, where a node holds a checkpoint that rank 0 does not know and that is newer
            than its own, or other than its own.
    """
    if not isinstance(communicator, TorchRanks):
        yield find()
        return
    start = find() if communicator.rank == 0 else None
    told = [json.loads(each) for each in communicator.meet(json.dumps(_fact(start, out, node)))]
    chosen = told[0]["start"]
    _check(told, out)
    if chosen is None:
        yield None
        return
    found = start or _found(chosen, out)
    lacking = [fact == "lacks" for fact in communicator.meet("" if found else "lacks")]
    receivers = _first_lacking([each["node"] for each in told], lacking)
    received = out / _RECEIVED / chosen["name"]
    if receivers:
        if communicator.rank in receivers:
            make_folder(received.parent)
        hand_folder(start.path if start else None, received, receivers, communicator)
    try:
        yield found or open_checkpoint(received)
    finally:
        if communicator.rank in receivers:
            shutil.rmtree(received.parent, ignore_errors=True)


def _fact(start: Checkpoint | None, out: Path, node: str) -> dict[str, Any]:
    """What a rank knows: its node, the newest step folders of its run, and on rank 0 the start."""
    folders = step_folders(out / "checkpoints")
    about = None
    if start is not None:
        path = start.path
        elsewhere = None if path.parent.resolve() == (out / "checkpoints").resolve() else str(path)
        about = {
            "name": path.name,
            "elsewhere": elsewhere,
            "step": start.step,
            "sha256": sha256_of(path / "manifest.json"),
        }
    hashes = {name: _hash(out / "checkpoints" / name) for name in folders}
    return {"node": node, "folders": hashes, "start": about}


def _check(told: Sequence[Mapping[str, Any]], out: Path) -> None:
    first, start = told[0], told[0]["start"]
    step = 0 if start is None else start["step"]
    here = f"rank 0 ({first['node']}) goes on from step {step}" if start else f"rank 0 ({first['node']}) has none"
    for rank, fact in enumerate(told):
        for name, found in fact["folders"].items():
            known = first["folders"].get(name)
            if step_of(name) < max(step, 1) or known == found:
                continue
            raise CheckpointError(
                f"{out}: rank {rank} ({fact['node']}) holds checkpoint {name}"
                f"{', another one of that step,' if known else ''} and {here}; make that node the first one, or copy "
                f"its checkpoints folder to the first, or remove the one that is not wanted"
            )


def _found(chosen: Mapping[str, Any], out: Path) -> Checkpoint | None:
    """The chosen checkpoint where this rank finds it: in its own run folder, or where rank 0 was told to take it."""
    path = out / "checkpoints" / chosen["name"] if chosen["elsewhere"] is None else Path(chosen["elsewhere"])
    return open_checkpoint(path) if _hash(path) == chosen["sha256"] else None


def _hash(folder: Path) -> str:
    path = folder / "manifest.json"
    return sha256_of(path) if path.is_file() else ""


def _first_lacking(nodes: Sequence[str], lacking: Sequence[bool]) -> list[int]:
    """The first rank of each node that has a rank which lacks the checkpoint."""
    first: dict[str, int] = {}
    for rank, node in enumerate(nodes):
        if lacking[rank]:
            first.setdefault(node, rank)
    return sorted(first.values())
