"""Modes of files and folders, as a umask gives them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UMASKS = (0o022, 0o027, 0o077, 0o002)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """New files of this process have these bits off meanwhile."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def wrong_modes(folder: Path, mask: int) -> list[str]:
    """What lies below a folder with another mode than the umask gives, and that mode."""
    found: list[str] = []
    for path in sorted(folder.rglob("*")):
        usual = (0o777 if path.is_dir() else 0o666) & ~mask
        mode = path.stat().st_mode & 0o777
        if not path.is_symlink() and mode != usual:
            found.append(f"{path.relative_to(folder)} {mode:o}")
    return found
