"""`simcrop data prepare` as a process: killed, divided into parts, verified."""

import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.tiny_data import write_config

from simcrop_cli.__main__ import main

PREPARE = [sys.executable, "-m", "simcrop_cli", "data", "prepare"]


def arrays(folder: Path) -> dict[str, str]:
    """Name -> hash of every whole array."""
    found = sorted((folder / "prepared").glob("grid_*/[!.]*.npy"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def kill_and_restart(folder: Path, expected: dict[str, str], times: int, seconds: float) -> None:
    """Kill a preparation again and again at random moments, then let it end."""
    moments = random.Random(0)
    config = write_config(folder)
    for _ in range(times):
        with subprocess.Popen([*PREPARE, str(config)], cwd=folder, stderr=subprocess.DEVNULL) as process:
            time.sleep(moments.uniform(0.3, 1.0) * seconds)
            process.send_signal(signal.SIGKILL)
        assert arrays(folder).items() <= expected.items()
    subprocess.run([*PREPARE, str(config)], cwd=folder, check=True, capture_output=True)
    assert arrays(folder) == expected
    assert main(["data", "prepare", str(config), "--verify"]) == 0


@pytest.fixture
def undisturbed(tmp_path: Path) -> tuple[dict[str, str], float]:
    """What an undisturbed preparation gives, and how long it takes."""
    folder = tmp_path / "undisturbed"
    config = write_config(folder)
    started = time.monotonic()
    subprocess.run([*PREPARE, str(config)], cwd=folder, check=True, capture_output=True)
    return arrays(folder), time.monotonic() - started


def test_killed_preparations_end_in_the_same_bytes(undisturbed: tuple[dict[str, str], float], tmp_path: Path) -> None:
    expected, seconds = undisturbed
    assert len(expected) == 8
    kill_and_restart(tmp_path / "killed", expected, 3, seconds)


@pytest.mark.slow
def test_many_killed_preparations_end_in_the_same_bytes(
    undisturbed: tuple[dict[str, str], float], tmp_path: Path
) -> None:
    expected, seconds = undisturbed
    kill_and_restart(tmp_path / "killed", expected, 20, seconds)


def test_parts_make_the_whole_in_any_order(
    undisturbed: tuple[dict[str, str], float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, _ = undisturbed
    config = write_config(tmp_path / "parts")
    sizes = []
    for part in ("3/3", "1/3", "2/3"):
        assert main(["data", "prepare", str(config), "--shard", part]) == 0
        sizes.append(len(arrays(tmp_path / "parts")))
    assert "part 2 of 3 is ready" in capsys.readouterr().out
    assert arrays(tmp_path / "parts") == expected
    assert sizes[0] < len(expected)


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/0"])
def test_a_part_that_does_not_exist_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], shard: str) -> None:
    assert main(["data", "prepare", str(write_config(tmp_path)), "--shard", shard]) == 1
    assert capsys.readouterr().err == f"simcrop: --shard {shard}: parts are numbered 1/N to N/N, such as 1/8\n"


def test_a_flipped_bit_is_found_by_verify_and_at_the_first_read_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    assert main(["data", "prepare", str(config)]) == 0
    path = sorted((tmp_path / "prepared").glob("grid_*/*.npy"))[0]
    data = bytearray(path.read_bytes())
    data[-5] ^= 16
    path.write_bytes(data)
    capsys.readouterr()
    for command in (
        ["data", "prepare", str(config), "--verify"],
        ["train", str(config), "--out", str(tmp_path / "run")],
    ):
        assert main(command) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith(f"simcrop: {path}: is damaged (its checksum is wrong); delete it")
