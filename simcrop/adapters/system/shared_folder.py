"""Find out which nodes see the same folder: rank 0 writes a token into it, and the first rank of each node looks."""

import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from simcrop.adapters.system.files import make_folder, replace_text
from simcrop.core.ports import Communicator

LOOKING_SECONDS = 5.0
"""A network file system may show a new file late."""
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class FolderRanks:
    """The ranks that see the same folder as this one.

    Attributes:
        ranks: in ascending order, this one among them.
        leaders: the first of each node among them.
    """

    ranks: tuple[int, ...]
    leaders: tuple[int, ...]

    def share(self, rank: int) -> tuple[int, int] | None:
        """(i, n): the i-th of n parts of what the leaders divide; None where the rank is no leader."""
        return (self.leaders.index(rank), len(self.leaders)) if rank in self.leaders else None

    def part(self, rank: int) -> tuple[int, int]:
        """(i, n): the i-th of n parts of what all of these ranks divide."""
        return self.ranks.index(rank), len(self.ranks)


def folder_ranks(
    folder: Path, communicator: Communicator, is_shared: bool | Literal["auto"], *, node: str, key: str
) -> FolderRanks:
    """The ranks that see what this one writes into a folder; all ranks call.

    Args:
        folder: as this rank knows it.
        communicator: the ranks.
        is_shared: True: all of them; False: those of its node; auto: found out by a token.
        node: name of this rank's node.
        key: of the configuration that names the folder.

    Raises:
        ConfigError: the folder cannot be made or written to.
    """
    rank, names = communicator.rank, communicator.meet(node)
    nodes = [names.index(name) for name in names]  # each node by its first rank
    if len(set(nodes)) == 1 or is_shared is True:
        return _together(range(len(nodes)), nodes)
    if is_shared is False:
        return _together([other for other, node in enumerate(nodes) if node == nodes[rank]], nodes)
    make_folder(folder, key)
    token = communicator.meet(_write(folder) if rank == 0 else "")[0]
    is_seen = nodes[rank] == 0 or (nodes[rank] == rank and _sees(folder, token))
    seen = communicator.meet("sees" if is_seen else "")
    if rank == 0:
        with suppress(OSError):
            (folder / token).unlink()
    groups = [0 if seen[node] else node for node in nodes]
    return _together([other for other, group in enumerate(groups) if group == groups[rank]], nodes)


def _together(ranks: Sequence[int], nodes: Sequence[int]) -> FolderRanks:
    return FolderRanks(tuple(ranks), tuple(rank for rank in ranks if nodes[rank] == rank))


def _write(folder: Path) -> str:
    name = f".simcrop.shared.{secrets.token_hex(8)}"
    replace_text(folder / name, "")
    return name


def _sees(folder: Path, token: str) -> bool:
    end = time.monotonic() + LOOKING_SECONDS
    # A list of the folder makes some file systems forget that a name was not there.
    while not any(path.name == token for path in folder.iterdir()):
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True
