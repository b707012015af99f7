"""Spend half an hour on a GPU well: check the kernels, time what is a choice, write one page of decisions.

    python3 benchmarks/gpu_day.py STAGE... [--deadline SECONDS] [--out DIR] [--rehearse]

A stage is one of ceilings, check, ops, attention, step, loader, report, or `all` for the plan of the whole. Each row is
written to DIR/rows.jsonl at once. The same command again goes on: rows that are there are not measured again. A row
that fails is written with its error. One that kills its process costs only itself, one that never ends four minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from gpu_stages.day import DEVICE_LOST, RUNNING, Day, DeviceLostError, read_rows, write_row
from gpu_stages.report import write_report

REPOSITORY = Path(__file__).resolve().parents[1]
IMPORTED_FROM = os.pathsep.join(str(REPOSITORY / name) for name in ("", "tests", "benchmarks"))

MODULES = {"ops": "operations"} | {name: name for name in ("ceilings", "check", "attention", "step", "loader")}
"""Stage -> its module in gpu_stages."""
PLAN = (("ceilings", 2), ("check", 18), ("ops", 28), ("attention", 7), ("step", 22), ("loader", 7), ("ops", 16))
"""Stages in order, with their shares of the time in percent; what one leaves, the next have."""
GRACE = 5
"""Seconds after the deadline before a process is ended."""
MOST_OF_A_ROW = 240
"""Seconds after which a row is taken for one that never ends."""
MOST_DEATHS = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages; 1 if the process that measures could not go on for a reason that is no row's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", nargs="+", choices=[*MODULES, "report", "all"])
    parser.add_argument("--deadline", type=float, default=1740, help="seconds from now (default: 29 minutes)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "gpu_day", help="folder of the rows")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes on a CPU, to see that it works")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, default=time.time(), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        return work(options)
    status = 0
    if options.deadline <= 0:
        print(f"{' '.join(options.stage)}: no time left, nothing was begun")
    elif options.stage != ["report"]:
        status = watch(options)
    results = [] if options.rehearse else [REPOSITORY / "benchmarks" / "results"]
    if rows := read_rows(options.out):
        for path in write_report(rows, [options.out, *results], rehearsed=options.rehearse):
            print(path)
    return int(status != 0)


def schedule(stages: Sequence[str], began: float, deadline: float) -> Iterator[tuple[str, float]]:
    """Each stage that measures, and when it has to be over."""
    plan = PLAN if "all" in stages else tuple(each for each in PLAN[: len(MODULES)] if each[0] in stages)
    total, spent = sum(share for _, share in plan), 0
    for stage, share in plan:
        spent += share
        yield stage, began + deadline * spent / total


def watch(options: argparse.Namespace) -> int:
    """Measure in a process of its own, and start another where it dies; never long past the deadline.

    Returns:
        0, or the status of a process that ended between two rows.
    """
    until = options.began + options.deadline
    given = [*options.stage, "--deadline", options.deadline, "--out", options.out, "--began", options.began]
    command = [sys.executable, str(Path(__file__).resolve()), *map(str, given), "--worker"]
    before = os.environ.get("PYTHONPATH", "")
    environment = {**os.environ, "PYTHONPATH": f"{IMPORTED_FROM}{os.pathsep}{before}"}
    if options.rehearse:
        command.append("--rehearse")
        # Before anything imports triton: afterwards it has no effect.
        environment |= {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    for _ in range(MOST_DEATHS):
        worker = subprocess.Popen(command, env=environment)
        while worker.poll() is None and time.time() < min(until + GRACE, begun(options.out) + MOST_OF_A_ROW):
            time.sleep(0.1)
        worker.kill()
        status = worker.wait()
        if status != DEVICE_LOST and not record_death(options.out, status):
            return status
        if time.time() >= until:
            break
    return 0


def begun(out: Path) -> float:
    """When the row that is being measured was begun; now, between two rows."""
    try:
        return (out / RUNNING).stat().st_mtime
    except FileNotFoundError:
        return time.time()


def record_death(out: Path, status: int) -> bool:
    """Write the row that a process died of, so that the next one leaves it alone; False where there was none."""
    running = out / RUNNING
    if status == 0 or not running.exists():
        return False
    row = json.loads(running.read_text(encoding="utf-8"))
    write_row(out, {**row, "seconds": 0.0, "error": f"the process ended with status {status}"})
    return True


def work(options: argparse.Namespace) -> int:
    """Go through the stages in this process."""
    from measuring import DEVICE

    ends = options.began + options.deadline
    day = Day(options.out, 0.0, options.rehearse, is_lost=lambda: is_lost(DEVICE.type), ends=ends)
    for stage, until in schedule(options.stage, options.began, options.deadline):
        day.until = until
        try:
            import_module(f"gpu_stages.{MODULES[stage]}").run(day)
        except DeviceLostError:
            return DEVICE_LOST
        except Exception as error:  # between two rows, or at its import: the other stages are worth having
            day.row(stage, "the rest of it", partial(raise_again, error), kind="rest", guess=0)
        day.say_left_out(stage)
    return 0


def raise_again(error: Exception) -> dict[str, object]:
    """Fail a row with an error that came before it."""
    raise error


def is_lost(device: str) -> bool:
    """Whether the GPU answers no more."""
    import torch

    try:
        if device == "cuda":
            torch.ones(1, device=device).add(1).cpu()
    except RuntimeError:
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
