"""Files that survive a crash: written beside, forced to disk, put in place in one instant."""

import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path


def sync(path: Path) -> None:
    """Force a file, or a folder's list of names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: Path) -> Generator[None]:
    """Name the file that was being written in an error of the system that does not, as one of a write."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def written_beside(path: Path) -> Generator[Path]:
    """The draft of a file: in one instant it becomes the file or takes its place, or goes where the block fails.

    Raises:
        OSError: the disk refuses; names a file.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        with naming(path):
            yield draft
            sync(draft)
            draft.replace(path)
            sync(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink()


def replace_text(path: Path, text: str) -> None:
    """Write a whole text file, or replace one, in one instant."""
    with written_beside(path) as draft:
        draft.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
