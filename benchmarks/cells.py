"""Tables whose cells are commands of simcrop, each in a process of its own; what has finished is read, not run."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean, stdev
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_all(function: Callable[[Job], Result], jobs: Iterable[Job]) -> list[Result]:
    """`function` of every job, as many at once as there are cores; results in the jobs' order."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(function, jobs))


def simcrop(*arguments: str, log: Path | None = None) -> None:
    """Run a command of simcrop with one thread; an argument with a `=` is set.

    Args:
        arguments: of the command line.
        log: where it writes what it says; its folder is made.

    Raises:
        CalledProcessError: it failed.
    """
    words = [word for part in arguments for word in (("--set", part) if "=" in part else (part,))]
    command = [sys.executable, "-m", "simcrop_cli", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if log is None:
        subprocess.run(command, check=True, env=environment)
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        subprocess.run(command, check=True, env=environment, stdout=file, stderr=subprocess.STDOUT)


def spread(values: Sequence[float | None], digits: int = 3) -> str:
    """Mean and standard deviation, or a dash where nothing was measured."""
    present = [value for value in values if value is not None]
    if not present:
        return "-"
    deviation = f" ± {stdev(present):.{digits}f}" if len(present) > 1 else ""
    return f"{fmean(present):.{digits}f}{deviation}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in rows)]
