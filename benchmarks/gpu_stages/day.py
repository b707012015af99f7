"""Keep the rows of a day on a GPU: written at once, none twice, none begun that would not end in time."""

import json
import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]
ROWS, RUNNING = "rows.jsonl", "running.json"
DEVICE_LOST = 75
"""Exit status of a process whose GPU answers no more: another one goes on."""
_MARGIN = 1.2
_LINES = 6
"""Of a traceback."""


class DeviceLostError(Exception):
    """The GPU of this process answers no more, e.g. after an illegal access."""


def read_rows(out: Path) -> list[Row]:
    """The rows of a folder; a last line that was cut off is none."""
    path = out / ROWS
    rows: list[Row] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def write_row(out: Path, row: Row) -> None:
    """Append a row, on a line of its own whatever was cut off before it; what was being measured is over."""
    path = out / ROWS
    is_cut_off = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{chr(10) if is_cut_off else ''}{json.dumps(row, default=str)}\n")
    (out / RUNNING).unlink(missing_ok=True)


@dataclass
class Day:
    """The rows of a folder, and the time left for a stage.

    Attributes:
        out: the folder.
        until: when the stage has to be over, in seconds of `time.time`.
        rehearses: tiny sizes, on a CPU.
        is_lost: whether the device answers no more; asked after a row that failed.
        ends: when everything has to be over; what other rows need may take until then.
    """

    out: Path
    until: float
    rehearses: bool = False
    is_lost: Callable[[], bool] = lambda: False
    ends: float = math.inf
    rows: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.rows = read_rows(self.out)

    @property
    def scratch(self) -> Path:
        """A folder for what is made on the way, and worth nothing afterwards."""
        path = self.out / "scratch"
        path.mkdir(exist_ok=True)
        return path

    def find(self, stage: str, name: str) -> Row | None:
        """A row that is there already."""
        return next((row for row in self.rows if (row["stage"], row["name"]) == (stage, name)), None)

    def row(
        self,
        stage: str,
        name: str,
        measure: Callable[[], Mapping[str, Any]],
        *,
        kind: str,
        guess: float,
        is_needed: bool = False,
    ) -> None:
        """Measure and write a row, unless it is there, or would not end in time.

        Args:
            stage, name: together they name it.
            measure: gives its values. What it raises is written in their place.
            kind: rows of one kind take about equally long.
            guess: seconds of one, until one was measured.
            is_needed: by rows of other stages, so that it may take more than its stage's share of the time.

        Raises:
            DeviceLostError: nothing more can be measured in this process.
        """
        if self.find(stage, name) is not None:
            return
        if time.time() + _MARGIN * self.expected(kind, guess) > (self.ends if is_needed else self.until):
            self.left_out.append(name)
            return
        (self.out / RUNNING).write_text(json.dumps({"stage": stage, "name": name, "kind": kind}), encoding="utf-8")
        began = time.time()
        try:
            values = dict(measure())
        except Exception as error:  # whatever it is, the rows after it are worth having
            lines = "".join(traceback.format_exception(error)).strip().splitlines()
            values = {"error": f"{type(error).__name__}: {error}"[:500], "traceback": lines[-_LINES:]}
        row = {"stage": stage, "name": name, "kind": kind, "seconds": round(time.time() - began, 3), **values}
        self.rows.append(row)
        write_row(self.out, row)
        print(f"{stage}: {name}: {brief(row)}", flush=True)
        if "error" in row and self.is_lost():
            raise DeviceLostError(name)

    def expected(self, kind: str, guess: float) -> float:
        """Seconds that a row of this kind takes: those of the longest of the last three."""
        seconds = [row["seconds"] for row in self.rows if row["kind"] == kind and "error" not in row]
        return max(seconds[-3:], default=0.0 if self.rehearses else guess)

    def say_left_out(self, stage: str) -> None:
        """Tell what there was no time for."""
        if self.left_out:
            print(f"{stage}: no time left for {len(self.left_out)} rows, the first of them {self.left_out[0]}")
        self.left_out.clear()


def brief(row: Row) -> str:
    """A row in a few words."""
    if "error" in row:
        return row["error"].splitlines()[0]
    skipped = {"stage", "name", "kind", "kernels", "traceback", "categories", "longest", "kernel_us"}
    values = [f"{key} {_rounded(value)}" for key, value in row.items() if key not in skipped]
    return ", ".join(values)


def _rounded(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
