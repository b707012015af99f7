"""The command under torchrun: two ranks do what one process does with twice the batch, and stop together."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.owning import held
from support.tiny_data import write_config

pytestmark = pytest.mark.slow

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
LAUNCHER = (
    sys.executable,
    "-m",
    "simcrop_cli.torchrun",
    "--standalone",
    "--nproc-per-node",
    "2",
    "--max-restarts",
    "3",
)
OPTIONS = ("model.dropout=0", "text_encoder.dropout=0", "train.accumulate=1", "train.evaluate_every=16")


def start(launcher: tuple[str, ...], config: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    settings = [part for option in (*OPTIONS, *options) for part in ("--set", option)]
    command = [*launcher, "-m", "simcrop_cli", "train", str(config), "--out", str(out), *settings]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,  # so that a signal to its group does not reach the test
    )


def rows(out: Path) -> list[dict[str, Any]]:
    path = out / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    ignored = {"studies_per_second", "data_wait"}
    return [{key: value for key, value in json.loads(line).items() if key not in ignored} for line in lines]


def test_two_ranks_train_as_one_process_with_twice_the_batch(tmp_path: Path) -> None:
    config, one, two = write_config(tmp_path), tmp_path / "one", tmp_path / "two"
    short = ("train.steps=16", "train.warmup_steps=2")
    for process in (
        start((sys.executable,), config, one, *short, "train.batch_size=4"),
        start(TORCHRUN, config, two, *short, "train.batch_size=2"),
    ):
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    assert len(rows(two)) == 16
    for row, expected in zip(rows(two), rows(one), strict=True):
        assert row == pytest.approx(expected, rel=1e-4)
    assert rows(two)[0] == pytest.approx(rows(one)[0], rel=1e-5)


def test_two_ranks_with_a_global_batch_make_the_updates_of_one_process(tmp_path: Path) -> None:
    config, one, two = write_config(tmp_path), tmp_path / "one", tmp_path / "two"
    short = ("train.steps=8", "train.warmup_steps=2", "train.accumulate=null", "train.global_batch=4")
    for process in (
        start((sys.executable,), config, one, *short, "train.batch_size=4"),
        start(TORCHRUN, config, two, *short, "train.batch_size=2"),
    ):
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    assert len(rows(two)) == 8
    for row, expected in zip(rows(two), rows(one), strict=True):
        assert row == pytest.approx(expected, rel=1e-4)
    refused = start(TORCHRUN, config, tmp_path / "odd", *short, "train.batch_size=4")
    output, _ = refused.communicate(timeout=300)
    assert refused.returncode != 0
    assert "train.global_batch: 4 does not divide into micro-batches of 4 studies on 2 processes" in output
    assert not (tmp_path / "odd" / "checkpoints").exists()


def children(process: int) -> list[int]:
    """The ranks of a launcher in their order, or the data workers of a rank."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=True)
    return sorted(int(number) for number in listed.stdout.split())


@pytest.mark.parametrize(
    ("launcher", "whom", "number", "status"),
    [
        (LAUNCHER, "agent, twice", signal.SIGTERM, 143),
        (LAUNCHER, "agent", signal.SIGUSR1, 143),
        (LAUNCHER, "rank", signal.SIGUSR1, 143),
        (LAUNCHER, "all", signal.SIGTERM, 143),
        (TORCHRUN, "rank", signal.SIGTERM, 1),
        (TORCHRUN, "agent", signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_two_ranks_stop_together_and_save_whoever_is_asked(
    launcher: tuple[str, ...], whom: str, number: int, status: int, tmp_path: Path
) -> None:
    config, out = write_config(tmp_path), tmp_path / "run"
    process = start(launcher, config, out, "train.steps=5000", "data.num_workers=1")
    try:
        deadline = time.monotonic() + 300
        while len(rows(out)) < 4:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "too slow"
            time.sleep(0.05)
        ranks = children(process.pid)
        everybody = [process.pid, *ranks, *(worker for rank in ranks for worker in children(rank))]
        assert len(everybody) == 5
        for each in {"all": everybody, "rank": ranks[1:]}.get(whom, everybody[:1]):
            os.kill(each, number)
        if whom.endswith("twice"):
            time.sleep(0.3)
            process.send_signal(number)
        # The ranks hold the output open, and outlive a launcher that is killed.
        output, _ = process.communicate(timeout=300)
        assert process.returncode == status, output
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    last = rows(out)[-1]["step"]
    assert last < 5000
    assert (out / "checkpoints" / "latest").read_text() == f"step_{last:08d}\n", output


def test_a_request_to_one_of_two_agents_ends_both_with_the_same_step(tmp_path: Path) -> None:
    config, out = write_config(tmp_path), tmp_path / "run"
    with socket.socket() as free:
        free.bind(("localhost", 0))
        place = f"localhost:{free.getsockname()[1]}"
    rendezvous = ("--nnodes", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", place, "--rdzv-id", "a")
    node = (sys.executable, "-m", "simcrop_cli.torchrun", *rendezvous, "--nproc-per-node", "1", "--max-restarts", "3")
    nodes = [start(node, config, out, "train.steps=5000") for _ in range(2)]
    try:
        deadline = time.monotonic() + 300
        while len(rows(out)) < 4:
            assert [process.poll() for process in nodes] == [None, None]
            assert time.monotonic() < deadline, "too slow"
            time.sleep(0.05)
        nodes[1].send_signal(signal.SIGTERM)
        # An agent that waited for the other in vain would do so for 300 seconds.
        for process in nodes:
            output, _ = process.communicate(timeout=250)
            assert process.returncode == 143, output
    finally:
        for process in nodes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert (out / "checkpoints" / "latest").read_text() == f"step_{rows(out)[-1]['step']:08d}\n"


def test_two_ranks_own_their_folder_as_one(tmp_path: Path) -> None:
    config, out = write_config(tmp_path), tmp_path / "run"
    short = ("train.steps=2", "train.warmup_steps=1")
    with held(out) as first:
        process = start(TORCHRUN, config, out, *short)
        output, _ = process.communicate(timeout=300)
        assert process.returncode != 0
        assert output.count(f"simcrop: {out}: process {first.pid} on ") == 1
        assert {path.name for path in out.iterdir()} == {"at work", ".simcrop.lock", ".simcrop.lock.json"}
    process = start(TORCHRUN, config, out, *short)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert len(rows(out)) == 2
    assert not list(out.glob(".*"))
