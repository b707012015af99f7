"""Arrays of voxels that are made once of a data set's files and kept, of which training reads parts.

    FOLDER/NAME.npy         int16 [H, W, D], as `storage` keeps it
    FOLDER/index_*.jsonl    a line for each array, a file for each process that made some: its checksum, the name, size
                            and time of what it was made from, and more

A line is written after its array, so an array without one does not exist and is made again. Of several lines that one
counts which has the checksum of the array; when they were written tells nothing, since clocks differ.
"""

import hashlib
import os
import platform
import re
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int16
from torch import Tensor

from simcrop.adapters.loading.kept_index import KeptIndex
from simcrop.adapters.loading.storage import DamagedError, Storage, StoredVoxels
from simcrop.adapters.system.cache_folder import cache_file
from simcrop.core.data.augment import AIR_HU, cut_box
from simcrop.core.errors import DataError
from simcrop.core.recipe import Size

_UNSAFE = re.compile(r"[^\w.-]")


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
        self._index = KeptIndex(self.folder)
        self._current, self._verified = torch.zeros((2, len(self._index)), dtype=torch.bool)
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
        """Whether the array is there, and was made from files of this stamp.

        An array that was made several times may be that of another line. Then its checksum tells, so it is read.
        """
        lines = self._index.numbers(reconstruction)
        made_of_it = [number for number in lines if self._index.is_made_of(number, source)]
        if not made_of_it:
            return False
        path = f"{self.folder}{os.sep}{array_name(reconstruction, self.storage.suffix)}"
        try:
            size = os.stat(path).st_size  # noqa: PTH116  (a million paths as objects take seconds)
            found = [number for number in made_of_it if self._index.num_bytes[number] == size]
            if len({self._index.checksums[number] for number in lines}) > 1:
                checksum = self.storage.open(Path(path), self.size).checksum()
                found = [number for number in found if self._index.checksums[number] == checksum]
        except (DamagedError, OSError, ValueError, EOFError):
            return False
        if len(lines) > 1:
            self._current[found] = True
        return bool(found)

    def is_made_often(self, reconstruction: str) -> bool:
        """Whether the index has several lines of an array."""
        return len(self._index.numbers(reconstruction)) > 1

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

    def _verify(self, reconstruction: str, stored: StoredVoxels) -> int:
        """The line of an array. Raises DamagedError where there is no line with its checksum."""
        lines = self._lines(reconstruction)
        if not any(verified := self._verified[lines].tolist()):
            checksum = stored.checksum()
            fitting = [number for number in lines if self._index.checksums[number] == checksum]
            if not fitting:
                raise DamagedError
            # The same voxels may have been made from files that differ in where they lie.
            best = max(fitting, key=lambda number: (bool(self._current[number]), number))
            self._verified[best] = True
            return best
        return lines[verified.index(True)]

    def _row(self, reconstruction: str) -> dict[str, Any]:
        lines = self._lines(reconstruction)
        if len(lines) == 1:
            return self._index.row(lines[0])
        with self._opened(reconstruction) as stored:
            return self._index.row(self._verify(reconstruction, stored))

    def _lines(self, reconstruction: str) -> Sequence[int]:
        lines = self._index.numbers(reconstruction)
        if not lines:
            raise DataError(f"{self.folder}: holds no volume {reconstruction}; run simcrop data prepare")
        return lines


def new_index(folder: Path) -> Path:
    """An index of this process alone: machines that share a folder, and jobs of an array, do not write into one."""
    return folder / f"index_{platform.node()}_{os.getpid()}_{time.time_ns()}.jsonl"


def array_name(reconstruction: str, suffix: str = ".npy") -> str:
    """The file name of any volume's array; names that had to be changed stay apart by a hash."""
    stem = _UNSAFE.sub("_", reconstruction)
    if stem != reconstruction:
        stem += f"-{hashlib.sha256(reconstruction.encode()).hexdigest()[:8]}"
    return f"{stem}{suffix}"
