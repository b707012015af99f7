"""Files that others may have written, JSON above all: whatever lies there is a value, or an error that says why.

Python's own reader of JSON takes a file of any size into memory, and fails of deep nesting by another error than a
ValueError; whoever then walks through what it has read fails of that too. To read a pipe or a device may never end.
"""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

MOST_BYTES = 8 << 20
"""Of a file. A dict takes up to thirty times as much memory as its text."""
_MOST_LEVELS = 32


def read_json(path: Path) -> Any:
    """The value in a file, UTF-8 with or without a byte order mark.

    Raises:
        OSError: it is absent, or cannot be read.
        ValueError: it is no regular file, is not JSON, or is too large or too deeply nested.
    """
    text = small_file(path, MOST_BYTES).decode("utf-8-sig")
    return parse_json(text)


def parse_json(text: str | bytes) -> Any:
    """The value in a text. Raises ValueError where it is not JSON, or is nested too deeply."""
    brackets = ("[", "{") if isinstance(text, str) else (b"[", b"{")
    try:
        value: Any = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"nested more than {_MOST_LEVELS} levels deep") from error
    if sum(map(text.count, brackets)) > _MOST_LEVELS and _is_deep(value):  # pyright: ignore[reportArgumentType]
        raise ValueError(f"nested more than {_MOST_LEVELS} levels deep")
    return value


def small_file(path: Path, most_bytes: int) -> bytes:
    """The bytes of a file that is known to be small.

    Args:
        path: of the file.
        most_bytes: that it may have.

    Raises:
        OSError: it is absent, or cannot be read.
        ValueError: it is larger, or no regular file.
    """
    require_regular(path)
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"larger than {most_bytes:,} bytes")
    return data


def require_regular(path: Path) -> int:
    """The bytes of a regular file. Raises OSError where there is none, and ValueError where it is none."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("no regular file, but a pipe or device")
    return status.st_size


def _is_deep(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(_MOST_LEVELS):
        dicts = [inner for outer in level if isinstance(outer, dict) for inner in outer.values()]
        lists = [inner for outer in level if isinstance(outer, list) for inner in outer]
        level = [inner for inner in [*dicts, *lists] if isinstance(inner, dict | list)]
        if not level:
            return False
    return True
