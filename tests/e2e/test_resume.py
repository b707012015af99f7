"""A run that is killed or asked to stop, and started again, is the run that was never disturbed: bit for bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.tiny_data import write_config

STEPS = 40
CLOCK_KEYS = {"studies_per_second", "data_wait"}


def start(config: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    settings = [part for option in options for part in ("--set", option)]
    command = [sys.executable, "-m", "simcrop_cli", "train", str(config), "--out", str(out), *settings]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def rows(out: Path) -> list[dict[str, Any]]:
    """Whole rows of metrics.jsonl without what the clock decides."""
    path = out / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [{key: value for key, value in json.loads(line).items() if key not in CLOCK_KEYS} for line in lines]


@contextmanager
def running_until(process: subprocess.Popen[str], reached: Callable[[], bool]) -> Iterator[None]:
    """The block runs once the process has come so far; the process is dead afterwards whatever happens."""
    try:
        deadline = time.monotonic() + 300
        while not reached():
            assert process.poll() is None, f"ended by itself: {process.communicate()[0]}"
            assert time.monotonic() < deadline, "too slow"
            time.sleep(0.002)
        yield
    finally:
        process.kill()
        process.communicate()


def disturb(config: Path, out: Path, at_step: int, number: int, *options: str) -> int:
    """Start or resume, send a signal once a step's row is there, and return the exit status."""
    process = start(config, out, *options)
    with running_until(process, lambda: len(rows(out)) >= at_step):
        process.send_signal(number)
        return process.wait(120)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(config: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("undisturbed")
    process = start(config, out)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert [row["step"] for row in rows(out)] == list(range(1, STEPS + 1))
    return rows(out)


@pytest.mark.parametrize(("workers", "stop", "status"), [(0, signal.SIGTERM, 143), (2, signal.SIGINT, 130)])
def test_killed_then_stopped_then_resumed(
    config: Path, undisturbed: list[dict[str, Any]], tmp_path: Path, workers: int, stop: signal.Signals, status: int
) -> None:
    option = f"data.num_workers={workers}"
    kill_at = random.SystemRandom().randint(4, 12)
    assert disturb(config, tmp_path, kill_at, signal.SIGKILL, option) == -signal.SIGKILL
    written = len(rows(tmp_path))
    assert kill_at <= written < STEPS

    assert disturb(config, tmp_path, written + 5, stop, option) == status
    after_stop = rows(tmp_path)
    latest = (tmp_path / "checkpoints" / "latest").read_text().strip()
    assert latest == f"step_{after_stop[-1]['step']:08d}", "the step that was running is saved"
    assert after_stop == undisturbed[: len(after_stop)], f"killed at {kill_at}"

    process = start(config, tmp_path, option)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert rows(tmp_path) == undisturbed, f"killed at {kill_at}, stopped after {len(after_stop)}"
    assert json.loads((tmp_path / "summary.json").read_text())["step"] == STEPS
    assert not [path for path in (tmp_path / "checkpoints").iterdir() if path.name.startswith(".")]
