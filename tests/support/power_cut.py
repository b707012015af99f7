"""A disk that loses all that nobody has forced to it, as a power cut does."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR
from threading import Lock

import pytest

Tree = dict[str, bytes | None]
"""Path below a folder -> content; None for a folder."""


class Disk:
    """What of a folder a power cut would leave, by all calls of `os.fsync`.

    Two disks are at their worst in two ways. `strict` keeps a name only where its folder was forced since it was given;
    `early` keeps the names of this instant. Either keeps what a file held when it was last forced, and else nothing.

    Args:
        root: the folder; what it holds now is safe.
        before: called whenever something is about to be forced.
    """

    def __init__(self, root: Path, before: Callable[["Disk"], None] = lambda disk: None) -> None:
        self._root, self._before = root, before
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, tuple[int, bool]]] = {}
        # Kept open, so that no number is given to another file.
        self._kept: list[int] = []
        self._lock = Lock()
        for path in [root, *root.rglob("*")]:
            self._note(os.open(path, os.O_RDONLY))

    def fsync(self, descriptor: int) -> None:
        """An `os.fsync`."""
        with self._lock:
            self._before(self)
            self._note(os.dup(descriptor))

    def strict(self) -> Tree:
        """What is left where the names were lost too."""
        tree: Tree = {}
        folders = [(self._root.stat().st_ino, "")]
        for number, above in folders:
            for name, (inner, is_folder) in self._names.get(number, {}).items():
                tree[above + name] = None if is_folder else self._contents.get(inner, b"")
                folders += [(inner, f"{above}{name}/")] if is_folder else []
        return tree

    def early(self) -> Tree:
        """What is left where the names came to the disk ahead of the contents."""
        return self._now(lambda path: self._contents.get(path.stat().st_ino, b""))

    def copied(self) -> Tree:
        """What a copy of the folder holds, with no power cut at all."""
        return self._now(Path.read_bytes)

    def _now(self, content: Callable[[Path], bytes]) -> Tree:
        tree: Tree = {}
        for path in self._root.rglob("*"):
            with suppress(FileNotFoundError):  # another thread works on
                tree[path.relative_to(self._root).as_posix()] = None if path.is_dir() else content(path)
        return tree

    def close(self) -> None:
        """Let the files go."""
        for descriptor in self._kept:
            os.close(descriptor)

    def _note(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if S_ISDIR(status.st_mode):
            with os.scandir(descriptor) as entries:
                self._names[status.st_ino] = {entry.name: (entry.inode(), entry.is_dir()) for entry in entries}
        else:
            self._contents[status.st_ino] = Path(f"/proc/self/fd/{descriptor}").read_bytes()
        self._kept.append(descriptor)


def put(tree: Tree, folder: Path) -> None:
    """Write what a power cut has left."""
    folder.mkdir(parents=True)
    for name, content in sorted(tree.items()):
        if content is None:
            (folder / name).mkdir(exist_ok=True)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def watched(root: Path, monkeypatch: pytest.MonkeyPatch, before: Callable[[Disk], None] = lambda disk: None) -> Disk:
    """A disk under a folder, from now on to the end of the test."""
    disk = Disk(root, before)
    monkeypatch.setattr(os, "fsync", disk.fsync)
    return disk
