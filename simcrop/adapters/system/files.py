"""Files and folders that are there whole or not at all: written beside, forced to disk, put in place in one instant.

Until then their names begin with a dot and end in `.draft`; what has to go first takes one that ends in `.gone`.
All of them have the mode that the system gives to new ones, by the umask, whatever library has written them.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError

from simcrop.adapters.system.forcing import force, force_below, make_folders
from simcrop.core.errors import ConfigError, SimcropError

_DRAFT, _GONE = ".draft", ".gone"


@contextmanager
def whole_file(path: Path, *, durable: bool = True) -> Generator[BinaryIO]:
    """A file that becomes `path`, or takes its place, when the block is done; where the block fails it goes.

    Several processes may write the same file at a time: each has a draft of its own, and the last one's stays.

    Args:
        path: of the file.
        durable: force it to disk; without that a power cut may undo it, or leave it empty.

    Raises:
        OSError: the disk refuses; names the file.
    """
    draft = _own_draft(path)
    try:
        with naming(path):
            with draft.open("wb") as file:
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
                # numpy does not look whether its last bytes found room.
                if os.fstat(file.fileno()).st_size < file.tell():
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            draft.replace(path)
            if durable:
                force(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink()


@contextmanager
def whole_folder(path: Path, *, durable: bool = True) -> Generator[Path]:
    """A new folder that becomes `path`, or takes its place, when the block is done; where the block fails it goes.

    One process at a time may write it.

    Args:
        path: of the folder.
        durable: as for `whole_file`.

    Raises:
        OSError: the disk refuses; names a file or the folder.
    """
    draft, gone = path.with_name(f".{path.name}{_DRAFT}"), _gone(path)
    try:
        with naming(path):
            shutil.rmtree(draft, ignore_errors=True)
            make_folders(path.parent)
            draft.mkdir()
            yield draft
            _give_usual_modes(draft)
            if durable:
                force_below(draft)
            if path.exists():
                path.rename(gone)
            draft.rename(path)
            if durable:
                force(path.parent)
    finally:
        if gone.exists() and not path.exists():
            gone.rename(path)
        for rest in (draft, gone):
            shutil.rmtree(rest, ignore_errors=True)


@contextmanager
def first_folder(path: Path) -> Generator[Path]:
    """A new folder that becomes `path` when the block is done, unless another has become it meanwhile.

    Several processes may write it at a time: each has a draft of its own, and the first whole one stays. It is not
    forced to disk.

    Raises:
        OSError: the disk refuses; names a file or the folder.
    """
    draft = _own_draft(path)
    try:
        with naming(path):
            draft.mkdir(parents=True)
            yield draft
            _give_usual_modes(draft)
            try:
                draft.rename(path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder that must not be taken for a whole one while it is half gone."""
    gone = _gone(path)
    path.rename(gone)
    shutil.rmtree(gone)


def is_draft(path: Path) -> bool:
    """Whether a name says that the file or folder is being written, or was when a process was killed."""
    return path.name.startswith(".") and path.name.endswith(_DRAFT)


def remove_drafts(folder: Path, *, older_than_s: float = 0.0) -> None:
    """Remove what killed processes have left in a folder.

    Args:
        folder: where they wrote.
        older_than_s: age from which nobody is writing it any more; 0 where this process alone writes into the folder.
    """
    for draft in [*folder.glob(f".*{_DRAFT}"), *folder.glob(f".*{_GONE}")]:
        with suppress(FileNotFoundError):  # finished at this instant
            if time.time() - draft.stat().st_mtime >= older_than_s:
                shutil.rmtree(draft) if draft.is_dir() else draft.unlink()


def replace_text(path: Path, text: str) -> None:
    """Write a whole text file, or replace one, in one instant."""
    with whole_file(path) as file:
        file.write(text.encode())


@contextmanager
def naming(path: Path) -> Generator[None]:
    """Name a file or folder in an error of the system while writing that names none, or its draft, or what is in it."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and any(part.endswith(_DRAFT) for part in Path(error.filename or _DRAFT).parts):
            error.filename = str(path)
        raise


@contextmanager
def writing(what: Path | str, kind: type[SimcropError], remedy: str) -> Generator[None]:
    """Turn what the disk refuses into an error of ours: `WHAT: cannot be written (REASON); REMEDY`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise kind(f"{what}: cannot be written ({error}); {remedy}") from error


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Add a JSON object as a line to a file, in one write, so that lines of several processes do not mix.

    Raises:
        OSError: the disk refuses; names the file.
    """
    with naming(path), path.open("a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        # A kill cut the last line off, or another process is in the midst of it: then an empty line follows it.
        is_torn = end > 0 and file.read(1) != b"\n"
        file.write(b"\n" * is_torn + json.dumps(row).encode() + b"\n")


def make_folder(folder: Path, key: str = "--out") -> None:
    """Make the folder that an option or a key of the configuration names.

    Raises:
        ConfigError: that cannot be, or nothing can be written into it.
    """
    try:
        make_folders(folder)
    except OSError as error:
        raise ConfigError(f"{key} {folder}: cannot be made ({error.strerror}); name another folder") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{key} {folder}: cannot be written to; change its permissions, or name another folder")


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _give_usual_modes(folder: Path) -> None:
    """Give what is below a new folder the modes of new files and folders.

    The library safetensors writes 0600, and copies keep the mode of what they are made from. The system is asked by a
    file, since not the umask counts where a folder has a default access list.
    """
    asked = folder / _DRAFT
    asked.touch()
    file_mode, folder_mode = (stat.S_IMODE(path.stat().st_mode) for path in (asked, folder))
    asked.unlink()
    for path in folder.rglob("*"):
        usual = folder_mode if path.is_dir() else file_mode
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) != usual:
            path.chmod(usual)


def _own_draft(path: Path) -> Path:
    # Not the process's number, which two hosts or containers may have given at a time.
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{_DRAFT}")


def _gone(path: Path) -> Path:
    gone = path.with_name(f".{path.name}{_GONE}")
    shutil.rmtree(gone, ignore_errors=True)
    return gone
