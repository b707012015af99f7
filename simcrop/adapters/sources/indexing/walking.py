"""Every file below a folder, with what makes some of them no candidates: hidden, a link, no plain file."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from simcrop.adapters.problems.paths import refuse_link_out
from simcrop.core.data.problems import BadFileError, Problem, problem

HIDDEN = "a hidden file (its name begins with a dot)"


@dataclass(frozen=True)
class Found:
    """A file, or a folder that is not looked into.

    Attributes:
        folder: in which it lies, relative to the root; empty for the root itself.
        name: of the file.
        num_bytes, mtime_ns: size, and time of the last change; 0 where they cannot be seen.
        reason: why it is no candidate; empty where it is one.
        problem: the same with a code, where it is one of those.
        is_folder: whether it is a folder, the files of which nobody can count.
    """

    folder: str
    name: str
    num_bytes: int = 0
    mtime_ns: int = 0
    reason: str = ""
    problem: Problem | None = None
    is_folder: bool = False


def walk(root: Path, is_own: Callable[[Path], bool] = lambda path: False) -> Iterator[Found]:
    """Every file below a folder, folder by folder. Links to folders and hidden folders are not followed, but told.

    Args:
        root: the folder.
        is_own: of files that are no part of the tree, such as the table that is made of it.
    """
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            found = problem(root / folder, "container.unreadable", f"cannot be looked into ({error.strerror})")
            above, _, name = folder.rpartition("/")
            yield Found(above, name or ".", reason="a folder that cannot be looked into", problem=found, is_folder=True)
            continue
        below: list[str] = []
        for entry in listed:
            if entry.is_dir(follow_symlinks=False) and entry.name.startswith("."):
                yield Found(folder, entry.name, reason="a hidden folder", is_folder=True)
            elif entry.is_dir(follow_symlinks=False):
                below.append(f"{folder}/{entry.name}" if folder else entry.name)
            elif not is_own(Path(entry.path)):
                yield _found(root, folder, entry)
        waiting += reversed(below)


def _found(root: Path, folder: str, entry: os.DirEntry[str]) -> Found:
    path = Path(entry.path)
    try:
        if entry.is_symlink():
            refuse_link_out(root, path)
        status = entry.stat()
    except BadFileError as bad:
        return Found(folder, entry.name, reason="a link that leaves the folder", problem=bad.problem)
    except OSError as error:
        found = problem(path, "container.unreadable", f"cannot be read ({error.strerror})")
        return Found(folder, entry.name, reason="a file that cannot be read", problem=found)
    reason = ""
    if stat.S_ISDIR(status.st_mode):
        reason = "a link to a folder, which is not followed"
    elif not stat.S_ISREG(status.st_mode):
        reason = "no plain file (a pipe, a socket or a device)"
    elif entry.name.startswith("."):
        reason = HIDDEN
    return Found(folder, entry.name, status.st_size, status.st_mtime_ns, reason)
