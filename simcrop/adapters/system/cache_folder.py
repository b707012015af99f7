"""The cache, `data.prepared`: what is kept between runs, written by any number of processes at a time."""

import hashlib
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from simcrop.adapters.system.files import append_line, make_folder, remove_drafts, whole_file, writing
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
    """Add a JSON object as a line to a file of the cache (`append_line`). Raises DataError where the disk refuses."""
    make_folder(path.parent, _KEY)
    with writing(path, DataError, _REMEDY):
        append_line(path, row)
