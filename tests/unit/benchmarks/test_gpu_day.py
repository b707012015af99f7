"""A day on a GPU, rehearsed: every stage, with what such a machine has alone; resumed, cut short, and with failures."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gpu_day import MODULES, PLAN, record_death, schedule
from gpu_stages.day import Row, read_rows
from support import REPOSITORY

PROGRAM = REPOSITORY / "benchmarks" / "gpu_day.py"
ABSENT = (
    "nibabel", "pydicom", "monai", "einops", "nrrd", "tensorboard", "blosc2",
    "pytest", "_pytest", "pytest_benchmark", "hypothesis", "xdist",
)  # fmt: skip
"""Packages that a borrowed machine lacks; pydantic and what it needs are carried there."""
BLOCKER = f"""
from importlib.machinery import PathFinder
found = PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in {ABSENT!r} else found(name, path, target)
PathFinder.find_spec = find_spec
"""
"""What is absent is not found, as on a machine that lacks it."""


OPS = {
    "masked_patch_embed",
    "sentence_patch_topk",
    "sentence_volume_scores",
    "soft_volume_scores",
    "masked_patch_mse",
}


def rehearse(out: Path, *arguments: str, path: str = "", program: Path = PROGRAM) -> subprocess.CompletedProcess[str]:
    """The program with tiny sizes; `path` is searched for modules first."""
    command = [sys.executable, "-W", "ignore", str(program), *arguments, "--rehearse", "--out", str(out)]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("TRITON", "PYTEST", "COV"))
    }
    environment["PYTHONPATH"] = path
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture
def bare_machine(tmp_path: Path) -> str:
    """A folder to search for modules first: it hides what a borrowed machine lacks."""
    folder = tmp_path / "machine"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCKER, encoding="utf-8")
    probe = [sys.executable, "-c", "import nibabel"]
    blocked = subprocess.run(probe, capture_output=True, check=False, env={**os.environ, "PYTHONPATH": str(folder)})
    assert b"No module named 'nibabel'" in blocked.stderr
    return str(folder)


def test_the_plan_of_the_half_hour_on_a_bare_machine(bare_machine: str, tmp_path: Path) -> None:
    """In one test, since it takes half a minute: every stage, the page, and the same command again."""
    out = tmp_path / "day"
    done = rehearse(out, "all", "--deadline", "900", path=bare_machine)
    assert done.returncode == 0, done.stderr[-3000:]
    assert_every_stage_has_rows_and_none_fails(read_rows(out))
    assert_the_page_has_decisions_and_every_stage((out / "GPU-CPU.md").read_text(encoding="utf-8"))
    assert not (REPOSITORY / "benchmarks" / "results" / "GPU-CPU.md").exists()
    before = read_rows(out)
    lines = (out / "rows.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if '"stage": "attention"' not in line]
    (out / "rows.jsonl").write_text("".join(kept) + '{"stage": "cut of', encoding="utf-8")
    again = rehearse(out, "ceilings", "attention", path=bare_machine)
    measured = [line for line in again.stdout.splitlines() if not line.endswith(".md")]
    assert len(measured) == len(lines) - len(kept)
    assert [row["name"] for row in read_rows(out)[: len(kept)]] == [row["name"] for row in before if is_kept(row)]
    assert {row["name"] for row in read_rows(out)} == {row["name"] for row in before}


def is_kept(row: Row) -> bool:
    return row["stage"] != "attention"


def assert_every_stage_has_rows_and_none_fails(rows: list[Row]) -> None:
    assert {row["stage"] for row in rows} == set(MODULES)
    assert [(row["name"], row["error"]) for row in rows if "error" in row] == []
    timed = [row for row in rows if row["stage"] == "ops"]
    assert {row["op"] for row in timed if row["implementation"].startswith("simcrop (Triton)")} >= OPS
    assert {row["op"] for row in timed if row["implementation"].endswith("max-autotune")} >= OPS
    assert {row["op"] for row in timed if row["implementation"].endswith(", again")} >= OPS
    checked = [row["name"] for row in rows if row["stage"] == "check"]
    assert all(any(name.startswith(op) for name in checked) for op in OPS)
    steps = [row for row in rows if row["stage"] == "step"]
    assert all(row["categories"] and row["flops"] > 0 and row["launches"] > 0 for row in steps)


def assert_the_page_has_decisions_and_every_stage(page: str) -> None:
    assert "A rehearsal" in page
    assert "| Do all kernels compute what they promise? | yes |" in page
    assert "Which attention for tiny?" in page
    assert "Is a step faster with blocks compiled?" in page
    assert "Does the loader keep up with the step?" in page
    assert all(f"## {stage}" in page for stage in ("check", "ops", "attention", "step", "loader"))
    assert "## Failed" not in page


def test_without_time_nothing_is_begun(tmp_path: Path) -> None:
    began = time.monotonic()
    done = rehearse(tmp_path, "ops", "--deadline", "0")
    assert done.stdout == "ops: no time left, nothing was begun\n"
    assert list(tmp_path.iterdir()) == []
    assert time.monotonic() - began < 20


DEADLY = """
import os, time

def run(day):
    measures = {"dies": lambda: os.kill(os.getpid(), 11), "never ends": lambda: time.sleep(999), "lives": dict}
    for name, measure in measures.items():
        day.row("ceilings", name, measure, kind="x", guess=0)
"""


@pytest.mark.parametrize(
    ("before", "after", "deadline", "measured"),
    [("GRACE = 5", "GRACE = 1", "6", []), ("MOST_OF_A_ROW = 240", "MOST_OF_A_ROW = 3", "90", ["lives"])],
)
def test_a_row_that_dies_or_never_ends_costs_only_itself(
    before: str, after: str, deadline: str, measured: list[str], tmp_path: Path
) -> None:
    """Another process goes on after the first; the second is ended at the deadline, or after a while."""
    folder = tmp_path / "benchmarks"
    shutil.copytree(REPOSITORY / "benchmarks" / "gpu_stages", folder / "gpu_stages")
    shutil.copy(REPOSITORY / "benchmarks" / "cells.py", folder)
    (folder / "gpu_stages" / "ceilings.py").write_text(DEADLY, encoding="utf-8")
    (folder / "measuring.py").write_text("class DEVICE:\n    type = 'cpu'\n", encoding="utf-8")
    program = folder / "gpu_day.py"
    source = PROGRAM.read_text(encoding="utf-8")
    assert before in source
    program.write_text(source.replace(before, after), encoding="utf-8")
    done = rehearse(tmp_path / "out", "ceilings", "--deadline", deadline, program=program)
    assert done.returncode == 0
    rows = {row["name"]: row.get("error", "") for row in read_rows(tmp_path / "out")}
    ended = "the process ended with status"
    assert rows == {"dies": f"{ended} -11", "never ends": f"{ended} -9"} | dict.fromkeys(measured, "")


def test_a_machine_without_torch_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER.replace("'nibabel'", "'torch'"), encoding="utf-8")
    done = rehearse(tmp_path / "out", "ceilings", path=str(tmp_path))
    assert done.returncode == 1
    assert "No module named 'torch'" in done.stderr


def test_the_plan_shares_the_time_out() -> None:
    stages = list(schedule(["all"], 100.0, 1000.0))
    assert [stage for stage, _ in stages] == [stage for stage, _ in PLAN]
    ends = [until for _, until in stages]
    assert ends == sorted(ends)
    assert ends[-1] == 1100.0
    assert list(schedule(["ops"], 0.0, 10.0)) == [("ops", 10.0)]
    assert list(schedule(["step", "ops"], 0.0, 50.0)) == [("ops", 28.0), ("step", 50.0)]


def test_the_row_that_a_process_died_of_is_written_once(tmp_path: Path) -> None:
    (tmp_path / "running.json").write_text('{"stage": "ops", "name": "bad", "kind": "x"}')
    assert record_death(tmp_path, -11)
    assert read_rows(tmp_path)[0]["error"] == "the process ended with status -11"
    assert not record_death(tmp_path, 1)
