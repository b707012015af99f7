"""One process at a time works in a folder that has state: a run, an evaluation, a part of an embedding, phantoms.

    FOLDER/.simcrop.lock        held by the system for as long as the process lives
    FOLDER/.simcrop.lock.json   which process holds it, on which host, since when; renewed every 20 seconds

Both go when the process is done. What a process has left that was killed is taken over: the system has let its lock go.
Some network file systems keep the locks of their hosts apart. So what another host has left is taken over only when it
was not renewed for 5 minutes.
"""

import json
import logging
import os
import platform
import threading
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout, UnixFileLock

from simcrop.adapters.system.files import is_draft, make_folder, naming, replace_text
from simcrop.adapters.system.outside_files import read_json
from simcrop.core.errors import DataError

_log = logging.getLogger("simcrop")
_NAME = ".simcrop"
RENEW_SECONDS = 20.0
_SILENT_SECONDS = 300.0
_TRY_SECONDS = 0.2
"""The owner may be removing its lock at this instant."""
WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class _Owner:
    """The process that works in a folder.

    Attributes:
        host: its name.
        process: number.
        since: time of the lock, with the time zone.
        boot: of the host; of containers on one host too, whatever their names are. Empty where the system has none.
    """

    host: str
    process: int
    since: str
    boot: str

    @property
    def is_near(self) -> bool:
        """Whether it works or worked on this host, whose system knows whether its lock is held."""
        return self.host == platform.node() or (bool(self.boot) and self.boot == _boot())


class _BusyError(DataError):
    """Another process works in the folder."""


@contextmanager
def owned(
    folder: Path, *, part: str = "", beside: bool = False, waits: bool = False, key: str = "--out"
) -> Generator[None]:
    """This process alone works in a folder while the block runs.

    A folder that cannot be written to is not locked: nothing changes in it.

    Args:
        folder: made where it is missing; an empty one goes again.
        part: of the folder, where processes with different parts may share it.
        beside: keep the lock beside the folder, which is replaced as a whole.
        waits: wait for another process to end; otherwise it is an error.
        key: option or key of the configuration that names the folder.

    Raises:
        DataError: another process works there; names the process, its host, since when, and what to do.
        ConfigError: the folder cannot be made.
    """
    place = folder.absolute().parent if beside else folder
    is_new = not place.exists()
    if not is_new and not os.access(place, os.W_OK | os.X_OK):
        yield
        return
    make_folder(place, key)
    path = place / (f".{folder.absolute().name}.lock" if beside else f"{_NAME}{part}.lock")
    record = path.with_name(f"{path.name}.json")
    lock = FileLock(path)
    try:
        with naming(path):
            _take(lock, folder, record, waits=waits)
        try:
            replace_text(record, json.dumps(asdict(_Owner(platform.node(), os.getpid(), _now(), _boot()))) + "\n")
            with _renewed(record):
                yield
        finally:
            # Before it is let go, so that whoever waits for it finds that it stands for nothing, and makes a new one.
            for each in (record, path):
                with suppress(OSError):
                    each.unlink()
            lock.release()
    finally:
        if is_new:
            with suppress(OSError):
                place.rmdir()


def holds_nothing(folder: Path) -> bool:
    """Whether a folder is empty but for its locks, and for what a killed process has left unfinished."""
    return all(path.name.startswith(_NAME) or is_draft(path) for path in folder.iterdir())


def _take(lock: FileLock, folder: Path, record: Path, *, waits: bool) -> None:
    """Hold the lock of a folder. Raises _BusyError."""
    is_told = False
    while True:
        try:
            _try(lock, folder, record)
        except _BusyError as busy:
            if not waits:
                raise
            if not is_told:
                _log.info("waiting: %s", busy)
            is_told = True
            time.sleep(WAIT_SECONDS)
        else:
            return


def _try(lock: FileLock, folder: Path, record: Path) -> None:
    """Hold the lock, or say who does. Raises _BusyError."""
    path = Path(lock.lock_file)
    try:
        with warnings.catch_warnings():
            # Where the file system has no locks, the file itself stands for one.
            warnings.filterwarnings("ignore", "flock not supported", UserWarning)
            lock.acquire(timeout=_TRY_SECONDS)
    except Timeout as held:
        owner = _read(record)
        is_sure = owner is not None and isinstance(lock, UnixFileLock)
        raise _BusyError(_busy(folder, owner, "" if is_sure else f"; if it is gone, delete {path}*")) from held
    except PermissionError as error:
        raise _BusyError(
            f"{folder}: another user's process works here, or has left {path} ({error.strerror}); wait for it, or name "
            f"another folder; if it is gone, delete {path}*"
        ) from error
    before = _read(record)
    if before is None:
        return
    if not before.is_near and _silence(path, record) < _SILENT_SECONDS:
        lock.release()
        raise _BusyError(_busy(folder, before, f"; if it is gone, delete {path}* or wait 5 minutes"))
    _log.info("%s: process %d on %s ended without cleaning up; going on", folder, before.process, before.host)


def _busy(folder: Path, owner: _Owner | None, if_gone: str) -> str:
    who = (
        f"process {owner.process} on {owner.host} has been working here since {owner.since}"
        if owner
        else "a process works here"
    )
    return f"{folder}: {who}; wait until it is done, stop it, or name another folder{if_gone}"


def _read(record: Path) -> _Owner | None:
    """The owner; None where there is none, or what stands there names none."""
    try:
        found = read_json(record)
        return _Owner(str(found["host"]), int(found["process"]), str(found["since"]), str(found["boot"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _silence(path: Path, record: Path) -> float:
    """Seconds since the owner renewed its record, by the clock of whoever keeps the files."""
    os.utime(path)
    try:
        return path.stat().st_mtime - record.stat().st_mtime
    except FileNotFoundError:
        return _SILENT_SECONDS


@contextmanager
def _renewed(record: Path) -> Generator[None]:
    """Change the record's time again and again, as a sign of life."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(RENEW_SECONDS):
            with suppress(OSError):
                os.utime(record)

    threading.Thread(target=renew, name="simcrop-lock", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _now() -> str:
    return datetime.now().astimezone().isoformat(" ", "seconds")
