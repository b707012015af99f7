"""The cache, `data.prepared`: what is kept between runs, written by any number of processes at a time."""

import hashlib
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from simcrop.adapters.system.files import make_folder, remove_drafts, whole_file, writing
from simcrop.core.errors import DataError

_KEY = "data.prepared"
_REMEDY = f"free disk space or change {_KEY}"
_OLD_SECONDS = 3600


def key_of(parts: Any) -> str:
    """A short name for plain values that decide what is kept: other values, another name."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def make_cache_folder(folder: Path) -> None:
    """Make a folder of the cache, and remove what killed processes have left in it.

    Raises:
        ConfigError: that cannot be, or nothing can be written into it.
    """
    make_folder(folder, _KEY)
    remove_drafts(folder, older_than_s=_OLD_SECONDS)


@contextmanager
def cache_file(path: Path) -> Generator[BinaryIO]:
    """A whole file of the cache (`whole_file`), its folder made. Raises DataError where the disk refuses."""
    make_folder(path.parent, _KEY)
    with writing(path, DataError, _REMEDY), whole_file(path) as file:
        yield file


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a JSON object as a line to a file of the cache, in one write, so that lines of several processes do not mix.

    Raises:
        DataError: the disk refuses.
    """
    make_folder(path.parent, _KEY)
    with writing(path, DataError, _REMEDY), path.open("a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        # A kill cut the last line off, or another process is in the midst of it: then an empty line follows it.
        file.seek(max(0, end - 1))
        is_torn = end > 0 and file.read(1) != b"\n"
        file.write(b"\n" * is_torn + json.dumps(row).encode() + b"\n")
