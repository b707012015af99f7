"""Slurm as its jobs see it: variables, `srun`, `scontrol`, and the signals that it sends, in its order."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from support import REPOSITORY

SCRIPTS = REPOSITORY / "deploy" / "slurm"
STEP, JOB = "FAKE_SLURM_STEP", "FAKE_SLURM"
"""Variables by which the processes of a step, or of a job, are known, as Slurm knows them by a control group."""
_SRUN = f"""\
import os, signal, subprocess, sys
sys.path.insert(0, {str(REPOSITORY / "tests")!r})
from support.slurm import JOB, STEP, send
step = subprocess.Popen(sys.argv[1:], env=os.environ | {{STEP: os.environ[JOB]}}, start_new_session=True)
# Every process of the step gets it, and not its first alone.
signal.signal(signal.SIGUSR1, lambda number, frame: send(number, STEP, os.environ[JOB]))
status = step.wait()
sys.exit(status if status >= 0 else 128 - status)
"""
_SCONTROL = """\
import os, pathlib, sys
match sys.argv[1:]:
    case ["show", "hostnames", nodes]:
        print(nodes.replace(",", "\\n"))
    case ["requeue", job] if "FAKE_SLURM_REFUSES" not in os.environ:
        with pathlib.Path(os.environ["FAKE_SLURM"], "requeued").open("a") as file:
            file.write(job + "\\n")
    case _:
        sys.exit("scontrol: refused")
"""


class Job:
    """A job of one node.

    Args:
        folder: its own; the log and what the fake commands write lie there.
        script: name of a script of deploy/slurm.
        arguments: of the script.
        environment: more variables.
    """

    started: ClassVar[list["Job"]] = []
    """For whoever has to end them."""

    def __init__(self, folder: Path, script: str, *arguments: str | Path, **environment: str) -> None:
        self.folder, self.restarts = folder, 0
        self._command = ["bash", str(SCRIPTS / script), *map(str, arguments)]
        commands = folder / "commands"
        commands.mkdir(parents=True)
        for name, program in (("srun", _SRUN), ("scontrol", _SCONTROL)):
            self.fake(name, program)
        _write_command(commands / "python", f'exec {shlex.quote(sys.executable)} "$@"\n')
        self._environment = os.environ | {
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            JOB: str(folder),
            "SLURM_JOB_ID": "4321",
            "SLURM_JOB_NODELIST": "localhost",
            "SLURM_JOB_NUM_NODES": "1",
            "RENDEZVOUS_PORT": "0",
            **environment,
        }

    def fake(self, name: str, program: str) -> None:
        """Put a Python program into the place of a command."""
        path = self.folder / "commands" / name
        path.with_suffix(".py").write_text(program)
        _write_command(path, f'exec {shlex.quote(sys.executable)} {shlex.quote(str(path))}.py "$@"\n')

    def start(self) -> None:
        """Start it, the second time as Slurm does after a requeue."""
        restarted = {"SLURM_RESTART_COUNT": str(self.restarts)} if self.restarts else {}
        self.restarts += 1
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment | restarted, start_new_session=True
            )
        self.started.append(self)

    @property
    def log(self) -> str:
        """All that it has written."""
        return (self.folder / "log").read_text()

    @property
    def requeued(self) -> list[str]:
        """The numbers of the jobs that were put back into the queue."""
        path = self.folder / "requeued"
        return path.read_text().split() if path.exists() else []

    def until(self, reached: Callable[[], bool], seconds: float = 300) -> None:
        """Wait for something that it does."""
        deadline, has_ended = time.monotonic() + seconds, False
        while not reached():
            assert not has_ended, self.log
            has_ended = self._process.poll() is not None
            assert time.monotonic() < deadline, f"too slow: {self.log}"
            time.sleep(0.02)

    def end(self, seconds: float = 300) -> int:
        """Its exit status, once it has ended by itself."""
        try:
            return self._process.wait(seconds)
        finally:
            self.lose()

    def notify(self) -> None:
        """What `--signal=B:USR1@300` brings: the batch shell alone is told."""
        self._process.send_signal(signal.SIGUSR1)

    def limit(self, kill_wait: float = 120) -> int | None:
        """Time limit, preemption or scancel: SIGCONT and SIGTERM to all, then SIGKILL to what is left.

        Returns:
            The exit status, or None where SIGKILL was needed.
        """
        for number in (signal.SIGCONT, signal.SIGTERM):
            send(number, STEP, str(self.folder))
            self._process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            return self.end(kill_wait)
        return None

    def lose(self) -> None:
        """The node is lost: nothing of it goes on."""
        send(signal.SIGKILL, JOB, str(self.folder))
        self._process.wait()


def send(number: int, variable: str, value: str) -> None:
    """Signal every process whose environment has a variable with that value (Linux)."""
    wanted = f"{variable}={value}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        # One may be another user's, or end while it is looked at.
        with suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), number)


def _write_command(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}")
    path.chmod(0o755)
