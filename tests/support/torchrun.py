"""Commands under torchrun: agents of one machine that stand for nodes, with whatever differs between them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AGENT = (sys.executable, "-m", "torch.distributed.run")
ONE_NODE = (*AGENT, "--standalone", "--nproc-per-node", "2")
OPTIONS = ("model.dropout=0", "text_encoder.dropout=0", "train.accumulate=1", "train.evaluate_every=16")
PATIENCE_S = 300
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def start(
    launcher: Sequence[str], config: Path, out: Path, *options: str, **environment: str
) -> "subprocess.Popen[str]":
    """A training under a launcher; its output comes together."""
    settings = [part for option in (*OPTIONS, *options) for part in ("--set", option)]
    command = [*launcher, "-m", "simcrop_cli", "train", str(config), "--out", str(out), *settings]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT | environment,
        start_new_session=True,  # so that a signal to its group does not reach the test
    )


def node(
    port: int, number: int, *options: str, address: str = "127.0.0.1", agent: Sequence[str] = AGENT
) -> tuple[str, ...]:
    """The agent of one of two nodes, with a process on each; the first holds the rendezvous."""
    is_host = f"is_host={number == 0}"
    rendezvous = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"{address}:{port}", "--rdzv-conf", is_host)
    return (*agent, "--nnodes", "2", "--nproc-per-node", "1", *rendezvous, "--rdzv-id", "test", *options)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def finish(*processes: "subprocess.Popen[str]") -> list[tuple[int, str]]:
    """Exit status and output of each; torchrun ends its ranks on SIGTERM only."""
    try:
        outputs = [process.communicate(timeout=PATIENCE_S)[0] for process in processes]
        return [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)]
    finally:
        for process in processes:
            process.terminate()


def rows(out: Path) -> list[dict[str, Any]]:
    """Rows of a run without what the clock decides."""
    path = out / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    ignored = {"studies_per_second", "data_wait"}
    return [{key: value for key, value in json.loads(line).items() if key not in ignored} for line in lines]


def ranks_of(agent: "subprocess.Popen[str]") -> dict[int, int]:
    """Rank -> process, of the living processes that an agent has started."""
    found: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            environment = (folder / "environ").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue  # gone at this instant
        ranks = [int(each[5:]) for each in environment if each.startswith(b"RANK=")]
        if parent == agent.pid and ranks:
            found[ranks[0]] = int(folder.name)
    return found


def children_of(process: int) -> list[int]:
    """The processes that the main thread of a process has started, such as the data workers of a rank."""
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@contextmanager
def running_until(
    reached: Callable[[], bool], *processes: "subprocess.Popen[str]", ends: bool = True
) -> Iterator[None]:
    """The block runs once the processes have come so far; they end afterwards, or only where it fails."""
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not reached():
            ended = [process for process in processes if process.poll() is not None]
            assert not ended, ended[0].communicate()[0]
            assert time.monotonic() < deadline, "too slow"
            time.sleep(0.02)
        yield
    except BaseException:
        ends = True
        raise
    finally:
        for process in processes if ends else ():
            for rank in ranks_of(process).values():
                os.kill(rank, signal.SIGCONT)
            process.terminate()
