"""The index of a folder of kept arrays, packed: forked workers share it, and none parses it line by line.

A million Python objects would be copied, page by page, into each worker that looks at them, since to look is to count.
"""

import json
import re
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_LINE = re.compile(rb'^\{"name": ("(?:[^"\\\n]|\\.)*"), (?:.*"bytes": (\d+), "crc32": (\d+)|.*)\}$', re.MULTILINE)


class KeptIndex:
    """The lines of all index files of a folder; each has a number.

    Attributes:
        num_bytes: of each line's array, by number.
        checksums: of its voxels, likewise.

    Args:
        folder: need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self._text = bytearray()
        for path in sorted(folder.glob("index_*.jsonl"), key=lambda path: path.stat().st_mtime_ns):
            self._text += path.read_bytes() + b"\n"
        columns = tuple(array("q") for _ in range(5))
        for line in _LINE.finditer(self._text):
            name, num_bytes, checksum = line.groups()
            if num_bytes is None:
                try:
                    row = json.loads(line[0])
                    num_bytes, checksum = row["bytes"], row["crc32"]
                except (ValueError, KeyError):
                    continue  # cut off within a value that ends as a line does
            values = (_key(name), line.start(), line.end(), int(num_bytes), int(checksum))
            for column, value in zip(columns, values, strict=True):
                column.append(value)
        order = np.argsort(np.array(columns[0]), kind="stable")
        self._keys, self._first, self._end, self.num_bytes, self.checksums = (
            array("q", np.array(column)[order].tobytes()) for column in columns
        )

    def __len__(self) -> int:
        return len(self._keys)

    def numbers(self, name: str) -> Sequence[int]:
        """The lines of an array: first those of the file that was changed first, and in a file as they stand there."""
        text = json.dumps(name).encode()
        key = zlib.crc32(text)
        first = end = bisect_left(self._keys, key)
        while end < len(self._keys) and self._keys[end] == key:
            end += 1
        return [number for number in range(first, end) if self._is_named(number, name, text)]

    def row(self, number: int) -> dict[str, Any]:
        """All that a line says."""
        return json.loads(self._line(number))

    def is_made_of(self, number: int, source: Any) -> bool:
        """Whether a line's array was made from files of this stamp."""
        # As it was written it is found without a parser, which a million lines would keep busy for seconds.
        as_written = f'"source": {json.dumps(source)}, "'.encode()
        return as_written in self._line(number) or self.row(number)["source"] == source

    def _line(self, number: int) -> bytearray:
        return self._text[self._first[number] : self._end[number]]

    def _is_named(self, number: int, name: str, text: bytes) -> bool:
        return self._text.startswith(b'{"name": %b, ' % text, self._first[number]) or self.row(number)["name"] == name


def _key(name: bytes) -> int:
    """A number of a name as JSON has it, in whatever way its letters are escaped."""
    is_plain = name.isascii() and b"\\" not in name
    return zlib.crc32(name if is_plain else json.dumps(json.loads(name)).encode())
