"""Tracking services for tests: one in memory, a real MLflow server, and what W&B writes offline."""

import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simcrop.adapters.tracking.service import Begun, Row, Status

WANDB_BLOCK = 32768


@contextmanager
def own_environment(**variables: str) -> Iterator[None]:
    """Variables for a block, after which the environment is as it was: the services add defaults of theirs to it."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        if "wandb" in sys.modules:
            sys.modules["wandb"].teardown()  # it reads the environment once, at its first use
        os.environ.clear()
        os.environ.update(before)


class FakeService:
    """A TrackingService in memory; `is_away` makes it refuse everything.

    Args:
        last_step: what it knows of a run that is continued; None for nothing.
    """

    name, where, remedy = "fake", "http://fake", "mend it"

    def __init__(self, last_step: int | None = None) -> None:
        self.last_step = last_step
        self.is_away = self.has_no_files = False
        self.rows: list[dict[str, float]] = []
        self.files: list[str] = []
        self.ids: list[str | None] = []
        self.abandoned: list[str] = []
        self.refused = 0
        self.ended: tuple[Status, dict[str, float], int] | None = None

    @property
    def steps(self) -> list[float]:
        return [row["step"] for row in self.rows]

    def begin(self, run_id: str | None) -> Begun:
        self._answer()
        self.ids.append(run_id)
        return Begun(run_id or "new", 0 if run_id is None else self.last_step)

    def abandon(self, run_id: str) -> None:
        self._answer()
        self.abandoned.append(run_id)

    def write(self, rows: Sequence[Row]) -> None:
        self._answer()
        self.rows += map(dict, rows)

    def picture(self, name: str, step: int, path: Path) -> None:
        self._answer()
        self.files.append(f"{name} {step} {path.name}")

    def file(self, path: Path) -> None:
        self._answer()
        if self.has_no_files:
            self.refused += 1
            raise PermissionError("no store of files")
        self.files.append(path.name)

    def end(self, status: Status, summary: Mapping[str, float], step: int) -> None:
        self._answer()
        self.ended = status, dict(summary), step

    def _answer(self) -> None:
        if self.is_away:
            self.refused += 1
            raise ConnectionRefusedError("nobody is there")


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """A tracking server that keeps everything as files, since a database takes seconds to make; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    stores = [
        "--backend-store-uri",
        str(folder / "served"),
        "--artifacts-destination",
        str(folder / "kept"),
    ]
    # Without jobs it is two processes, and the first ends the second.
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    quiet["MLFLOW_ALLOW_FILE_STORE"] = "true"
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen([*command, *stores], stdout=log, stderr=log, env=os.environ | quiet)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", server, folder / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(address).close()
            return
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)


def wandb_runs(out: Path) -> list[dict[str, list[Any]]]:
    """What W&B wrote offline below a folder: for each part of a run, in order, its records by their kind."""
    sys.modules["wandb"].teardown()  # the process that writes may be a moment behind
    parts = [_records(folder) for folder in (out / "wandb").glob("offline-run-*")]
    begun = [[(run.start_time.seconds, run.start_time.nanos) for run in part.get("run", [])] for part in parts]
    return [parts[index] for index in sorted(range(len(parts)), key=begun.__getitem__)]


def values_of(items: Iterable[Any]) -> dict[str, Any]:
    """Items of a record, key by key; a picture's keys have its parts."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(folder: Path) -> dict[str, list[Any]]:
    """The one `.wandb` file of a folder, whose log format is that of LevelDB."""
    from wandb.proto import wandb_internal_pb2

    [path] = folder.glob("*.wandb")
    data, place, parts, found = path.read_bytes(), 7, b"", dict[str, list[Any]]()
    while place + 7 <= len(data):
        if (room := WANDB_BLOCK - place % WANDB_BLOCK) < 7:
            place += room
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            name = record.WhichOneof("record_type")
            found.setdefault(name, []).append(getattr(record, name))
            parts = b""
    return found
