"""Progress for people: a live bar on a terminal, a plain line now and then anywhere else."""

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from simcrop.core.recipe import TERMS

PLAIN_LINE_SECONDS = 10.0
"""Least time between two plain lines."""


class Bar:
    """A bar of known length with a line of text below it; plain lines where the console is no terminal.

    Args:
        label: what is being done.
        total: length of the bar.
        console: where to draw; standard error by default, so that piped results stay clean.
        clock: seconds, for the pace of plain lines.
    """

    def __init__(
        self,
        label: str,
        total: int,
        *,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label, self._total, self._clock = label, total, clock
        self._console = console or Console(stderr=True)
        self._next_line = clock()
        self._live: Live | None = None
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=self._console)
        self._task: TaskID = self._bar.add_task(label, total=total)

    def update(self, done: int, detail: str = "") -> None:
        """Show that `done` of the total is finished; `detail` is the text beside it."""
        if self._console.is_terminal:
            if self._live is None:
                self._live = Live(console=self._console, refresh_per_second=4)
                self._live.start()
            self._bar.update(self._task, completed=done)
            self._live.update(Group(self._bar, Text(f"  {detail}")) if detail else self._bar)
        elif self._clock() >= self._next_line or done >= self._total:
            self._next_line = self._clock() + PLAIN_LINE_SECONDS
            self.note(f"{self._label} {done}/{self._total}" + (f"  {detail}" if detail else ""))

    def note(self, line: str) -> None:
        """Print a line that stays."""
        self._console.print(Text(line), soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __enter__(self) -> "Bar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def counted(label: str, *, console: Console | None = None) -> Generator[Callable[[int, int], None]]:
    """A `progress(done, total)` callback for work of a length known only to its worker.

    Args:
        label: what is being done.
        console: where to draw; standard error by default.
    """
    bars: list[Bar] = []

    def progress(done: int, total: int) -> None:
        if not bars:
            bars.append(Bar(label, total, console=console))
        bars[0].update(done)

    try:
        yield progress
    finally:
        for bar in bars:
            bar.close()


class TrainingProgress:
    """A MetricSink that shows each step: every loss term, studies/s, the share of time spent on data, time left.

    Args:
        steps: of the whole run.
        console: where to draw; standard error by default.
        clock: seconds, for the time left.
    """

    def __init__(
        self, steps: int, *, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._steps, self._clock = steps, clock
        self._bar = Bar("step", steps, console=console, clock=clock)
        self._last = clock()
        self._first_step: int | None = None
        self._seconds_per_step = 0.0

    def write(self, row: Mapping[str, float | int]) -> None:
        """Show one row of metrics.jsonl; held-out losses get a line that stays."""
        step = int(row["step"])
        self._measure(step)
        self._bar.update(step, f"{_losses(row, 'loss')}  {self._pace(row, step)}")
        if "validation_loss" in row:
            self._bar.note(f"step {step}/{self._steps}  held-out {_losses(row, 'validation_loss')}")

    def rewind(self, step: int) -> None:
        """Start measuring the time again after `step`."""
        self._first_step, self._last = step, self._clock()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()

    def _measure(self, step: int) -> None:
        now = self._clock()
        if self._first_step is None:
            self._first_step = step - 1
        taken = now - self._last
        # A moving average over about ten steps follows a machine that becomes busy; the first steps average plainly.
        weight = max(0.1, 1.0 / (step - self._first_step)) if step > self._first_step else 1.0
        self._seconds_per_step += weight * (taken - self._seconds_per_step)
        self._last = now

    def _pace(self, row: Mapping[str, float | int], step: int) -> str:
        parts = [f"{row['studies_per_second']:.1f} studies/s"] if "studies_per_second" in row else []
        if "data_wait" in row:
            parts.append(f"{100 * row['data_wait']:.0f} % waiting for data")
        parts.append(f"{duration((self._steps - step) * self._seconds_per_step)} left")
        return "  ".join(parts)


def duration(seconds: float) -> str:
    """Time in the two largest units, e.g. 1 h 5 min; 3 min 20 s; 12 s."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _losses(row: Mapping[str, float | int], key: str) -> str:
    terms = [f"{term} {row[f'{key}_{term}']:.3f}" for term in TERMS if f"{key}_{term}" in row]
    total = f"loss {row[key]:.3f}" if key in row else "loss"
    return f"{total} ({', '.join(terms)})" if terms else total
