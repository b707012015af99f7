"""A hundred kills at random moments of every phase: the same command, given again, ends in the same bytes.

`SIMCROP_KILLS_LOG=FILE` keeps what came of it, a line for each phase; `SIMCROP_KILLS_SEED=N` draws other moments.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import labelled_data
from support.command import ENVIRONMENT
from support.damage import synthetic_chest, write
from support.pacs_export import write_export
from support.tiny_data import write_config

from simcrop import compose
from simcrop.adapters.checkpoints.folder import step_folders
from simcrop.adapters.config.settings import load_config

pytestmark = pytest.mark.slow

PYTHON = (sys.executable,)
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
CLOCK_KEYS = {"studies_per_second", "data_wait"}
CLOCKS = ("seconds", "wall_time_s", "peak_memory_mb")
LONGEST = 600
"""Seconds after which a command counts as hanging."""

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Inputs:
    """What the phases work on.

    Attributes:
        scans, export: folders of scans.
        config: of a run that takes half a minute at most.
        labels: of an evaluation by labels.
        trained: a run.
    """

    scans: Path
    export: Path
    config: Path
    labels: Path
    trained: Path


@dataclass(frozen=True)
class Phase:
    """A command that is killed again and again.

    Attributes:
        kills: at least so many.
        arguments: of simcrop, for a folder of results.
        results: what must be equal, however often it was killed.
        launcher: what starts it.
    """

    kills: int
    arguments: Callable[[Inputs, Path], list[str]]
    results: Callable[[Path], Results]
    launcher: tuple[str, ...] = PYTHON


def digests(folder: Path, pattern: str = "*") -> Results:
    """Name of each file -> hash of its bytes; what a lock or a draft has left is not to be there."""
    files = [path for path in sorted(folder.rglob(pattern)) if path.is_file()]
    assert files, f"{folder}: empty"
    assert not [path for path in files if ".lock" in path.name or path.name.startswith(".draft")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def of_prepared(folder: Path) -> Results:
    """The arrays, and what stands of each in an index."""
    index = [
        {key: value for key, value in json.loads(line).items() if key != "source"}
        for path in sorted(folder.rglob("index_*.jsonl"))
        for line in path.read_text().splitlines()
        if line.endswith("}")
    ]
    by_name = {row["name"]: row for row in index}
    assert all(by_name[row["name"]] == row for row in index), "lines of one array differ"
    return {**digests(folder, "*.npy"), "index": by_name}


def of_training(out: Path) -> Results:
    """Rows, weights, optimizer, tokenizer and pictures."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    kept = out / "checkpoints" / step_folders(out / "checkpoints")[-1]
    manifest = json.loads((kept / "manifest.json").read_text())
    return {
        "rows": [{key: value for key, value in row.items() if key not in CLOCK_KEYS} for row in rows],
        "checkpoint": {name: value for name, value in manifest["files"].items() if name != "config.json"},
        "summary": without_clocks(json.loads((out / "summary.json").read_text())),
        "pictures": digests(out / "pictures"),
    }


def of_evaluation(out: Path) -> Results:
    """All figures."""
    return without_clocks(json.loads((out / "metrics.json").read_text())["metrics"])


def without_clocks(tree: Any) -> Any:
    """A tree of JSON without what the clock decides."""
    if isinstance(tree, dict):
        return {key: without_clocks(value) for key, value in tree.items() if not key.endswith(CLOCKS)}
    return tree


def training(*options: str) -> Callable[[Inputs, Path], list[str]]:
    """Arguments of a training."""
    return lambda given, out: ["train", str(given.config), "--out", str(out / "run"), *settings(*options)]


def settings(*options: str) -> list[str]:
    """Overrides of a configuration."""
    return [part for option in options for part in ("--set", option)]


def of_run(out: Path) -> Results:
    """What a training has left in its folder."""
    return of_training(out / "run")


SHORT = ("train.steps=12", "train.warmup_steps=2", "train.checkpoint_every=2", "train.picture_every=4")
PHASES: Mapping[str, Phase] = {
    "phantoms": Phase(
        10, lambda given, out: ["data", "phantom", str(out / "set"), "--cases", "6"], lambda out: digests(out / "set")
    ),
    "index": Phase(
        10,
        lambda given, out: ["data", "index", str(given.export), "--out", str(out / "table.csv")],
        lambda out: digests(out, "table*.csv"),
    ),
    "prepare": Phase(
        10,
        lambda given, out: [
            "data",
            "prepare",
            str(given.config),
            *settings(f"data.prepared={out}/prepared", "data.num_workers=2"),
        ],
        lambda out: of_prepared(out / "prepared"),
    ),
    "training": Phase(14, training(*SHORT, "train.accumulate=1"), of_run),
    "training, accumulated, 2 data workers": Phase(14, training(*SHORT, "data.num_workers=2"), of_run),
    "training, two ranks": Phase(12, training(*SHORT), of_run, TORCHRUN),
    "checkpoint after every step": Phase(14, training(*SHORT, "train.checkpoint_every=1"), of_run),
    "evaluation": Phase(
        8,
        lambda given, out: [
            "eval",
            "finetune",
            str(given.labels),
            *("--checkpoint", str(given.trained), "--out", str(out / "eval")),
        ],
        lambda out: of_evaluation(out / "eval"),
    ),
    "embed": Phase(
        10,
        lambda given, out: [
            "embed",
            str(given.scans),
            *("--checkpoint", str(given.trained), "--out", str(out / "features"), "--workers", "2"),
        ],
        lambda out: digests(out / "features", "features.csv"),
    ),
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("inputs")
    for number in range(16):
        write(folder / f"scans/{number:02d}.nii.gz", synthetic_chest(number))
    write_export(folder / "export", 6)
    labels = labelled_data.write_config(folder / "labels")
    compose.train(load_config(labels), out=folder / "trained")
    return Inputs(folder / "scans", folder / "export", write_config(folder / "tiny"), labels, folder / "trained")


class Killed:
    """A command in a folder, and the moments at which it is killed.

    Attributes:
        kills: so far.
    """

    def __init__(self, phase: Phase, given: Inputs, draw: random.Random) -> None:
        self.phase, self.given, self.draw = phase, given, draw
        self.kills = 0

    def start(self, out: Path) -> subprocess.Popen[bytes]:
        """Start the command, in a group of processes of its own."""
        out.mkdir(parents=True, exist_ok=True)
        command = [*self.phase.launcher, "-m", "simcrop_cli", *self.phase.arguments(self.given, out)]
        with (out.parent / f"{out.name}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRONMENT, start_new_session=True)

    def undisturbed(self, out: Path) -> tuple[Results, float, float]:
        """The results, the seconds until something is written, and the seconds of all."""
        began, first = time.monotonic(), None
        process = self.start(out)
        while process.poll() is None:
            if first is None and any(out.iterdir()):
                first = time.monotonic() - began
            assert time.monotonic() - began < LONGEST, "hangs"
            time.sleep(0.01)
        seconds = time.monotonic() - began
        assert process.returncode == 0, log_of(out)
        return self.phase.results(out), seconds / 2 if first is None else first, seconds

    def until_it_is_done(self, out: Path, first: float, seconds: float) -> None:
        """Kill it, and start it again, until it ends by itself before it is killed."""
        while True:
            process = self.start(out)
            try:
                process.wait(self.draw.uniform(0.8 * first, 1.1 * seconds))
            except subprocess.TimeoutExpired:
                self.kills += 1
                self._kill(process)
                continue
            assert process.returncode == 0, log_of(out)
            return

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the main process alone, or the whole group; of torchrun's one rank, or all."""
        victims = children(process.pid) if self.phase.launcher is TORCHRUN else [process.pid]
        if victims and self.draw.random() < 0.5:
            with suppress(ProcessLookupError):
                os.kill(self.draw.choice(victims), signal.SIGKILL)
            process.wait(LONGEST)  # torchrun ends the other rank itself
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def children(process: int) -> list[int]:
    """Numbers of the processes that a process has started."""
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def log_of(out: Path) -> str:
    """The last that the commands of a folder said."""
    return (out.parent / f"{out.name}.log").read_text(errors="replace")[-3000:]


@pytest.mark.parametrize("name", PHASES)
def test_killed_at_any_moment_it_ends_as_if_it_had_never_been(given: Inputs, tmp_path: Path, name: str) -> None:
    phase = PHASES[name]
    killed = Killed(phase, given, random.Random(f"{name} {os.environ.get('SIMCROP_KILLS_SEED', '')}"))
    expected, first, seconds = killed.undisturbed(tmp_path / "undisturbed")
    rounds = 0
    while killed.kills < phase.kills:
        out = tmp_path / f"round {rounds}"
        before = killed.kills
        killed.until_it_is_done(out, first, seconds)
        rounds += killed.kills > before
        assert phase.results(out) == expected, f"after {killed.kills - before} kills; {log_of(out)}"
    line = f"{name}: {killed.kills} kills in {rounds} runs, each equal to the undisturbed one in every byte compared"
    print(line)
    if log := os.environ.get("SIMCROP_KILLS_LOG"):
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
