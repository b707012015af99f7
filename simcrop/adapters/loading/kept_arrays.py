"""Arrays of voxels that are made once of a data set's files and kept, of which training reads parts.

    FOLDER/NAME.npy         int16 [H, W, D], as `storage` keeps it
    FOLDER/index_*.jsonl    a line for each array, a file for each process that made some: its checksum, the name, size
                            and time of what it was made from, and more

A line is written after its array, so an array without one does not exist and is made again; of several lines the last
counts.
"""

import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int16
from torch import Tensor

from simcrop.adapters.loading.storage import DamagedError, Storage, StoredVoxels
from simcrop.adapters.system.cache_folder import cache_file
from simcrop.core.data.augment import AIR_HU, cut_box
from simcrop.core.errors import DataError
from simcrop.core.recipe import Size

_UNSAFE = re.compile(r"[^\w.-]")
_NAME_OF_LINE = re.compile(rb'\{"name": ("(?:[^"\\]|\\.)*"), ')


class KeptArrays:
    """The arrays of one folder, all of one size.

    Reading compares each array's checksum once in the life of this object, in whichever process reads it first: what is
    verified is marked in memory that processes share.

    Attributes:
        folder: that they are in.
        size: voxels of each.
        storage: how they are kept.
    """

    air: int = AIR_HU
    """What stands outside of an array."""

    def __init__(self, folder: Path, size: Size, storage: Storage) -> None:
        """See the attributes; the folder need not be there."""
        self.folder, self.size, self.storage = folder, size, storage
        self._lines = _index(self.folder)
        self._numbers = {name: number for number, name in enumerate(self._lines)}
        self._verified = torch.zeros(len(self._lines), dtype=torch.bool)
        # Where the system has no shared memory, each process verifies for itself.
        with suppress(RuntimeError):
            self._verified.share_memory_()

    def read_box(
        self, reconstruction: str, start: Size, box: Int16[Tensor, "h w d"], *, pad: Literal["air", "reflect"] = "air"
    ) -> None:
        """Fill a box that begins at `start`, as `cut_box` has it.

        Raises:
            DataError: if the array is absent or its checksum is wrong.
        """
        with self._opened(reconstruction) as stored:
            cut_box(stored.copy_part, self.size, start, box, pad=pad, air=self.air)

    def array_file(self, reconstruction: str) -> Path:
        """The file behind a volume."""
        return self.folder / array_name(reconstruction, self.storage.suffix)

    def is_current(self, reconstruction: str, source: Any) -> bool:
        """Whether the array is there, and was made from files of this stamp."""
        line = self._lines.get(reconstruction)
        if line is None:
            return False
        row = json.loads(line)
        try:
            return row["source"] == source and self.array_file(reconstruction).stat().st_size == row["bytes"]
        except OSError:
            return False

    def write(self, reconstruction: str, voxels: np.ndarray) -> dict[str, Any]:
        """Write an array, whole or not at all; of its line in the index, what tells the array.

        Raises:
            DataError: it cannot be written.
        """
        with cache_file(self.array_file(reconstruction)) as file:
            checksum = self.storage.write(file, voxels)
            return {"bytes": file.tell(), "crc32": checksum}

    @contextmanager
    def _opened(self, reconstruction: str) -> Generator[StoredVoxels]:
        """The array behind a volume, verified. What goes wrong in reading it becomes a DataError."""
        path = self.array_file(reconstruction)
        try:
            stored = self.storage.open(path, self.size)
            self._verify(reconstruction, stored)
            yield stored
        except DataError:
            raise
        except DamagedError as error:
            raise DataError(
                f"{path}: is damaged (its checksum is wrong); delete it and run simcrop data prepare"
            ) from error
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot be read ({error}); delete it and run simcrop data prepare") from error

    def _verify(self, reconstruction: str, stored: StoredVoxels) -> None:
        number = self._numbers.get(reconstruction)
        if number is not None and self._verified[number]:
            return
        if stored.checksum() != self._row(reconstruction)["crc32"]:
            raise DamagedError
        self._verified[number] = True

    def _row(self, reconstruction: str) -> dict[str, Any]:
        line = self._lines.get(reconstruction)
        if line is None:
            raise DataError(f"{self.folder}: holds no volume {reconstruction}; run simcrop data prepare")
        return json.loads(line)


def new_index(folder: Path) -> Path:
    """An index of this process alone: machines that share a folder, and jobs of an array, do not write into one."""
    return folder / f"index_{platform.node()}_{os.getpid()}_{time.time_ns()}.jsonl"


def _index(folder: Path) -> dict[str, bytes]:
    """Volume -> its line, the newest; unparsed, since a worker needs few of them."""
    lines: dict[str, bytes] = {}
    for path in sorted(folder.glob("index_*.jsonl"), key=lambda path: path.stat().st_mtime_ns):
        for line in path.read_bytes().splitlines():
            match = _NAME_OF_LINE.match(line)
            if match and line.endswith(b"}"):
                lines[json.loads(match[1])] = line
    return lines


def array_name(reconstruction: str, suffix: str = ".npy") -> str:
    """The file name of any volume's array; names that had to be changed stay apart by a hash."""
    stem = _UNSAFE.sub("_", reconstruction)
    if stem != reconstruction:
        stem += f"-{hashlib.sha256(reconstruction.encode()).hexdigest()[:8]}"
    return f"{stem}{suffix}"
