"""A folder of what is kept between runs (`data.prepared`): made, and written whole or not at all."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from simcrop.core.errors import DataError


@contextmanager
def whole_file(path: Path) -> Generator[BinaryIO]:
    """A file that takes its name only once it is whole and on disk."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            kept, written = os.fstat(file.fileno()).st_size, file.tell()
            if kept < written:  # numpy does not look whether its last bytes found room
                raise OSError(f"{kept} of {written} bytes")
        draft.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error}); free disk space or change data.prepared") from error
    finally:
        draft.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder of the cache. Raises DataError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror}); change data.prepared") from error
