"""Progress for people: a live bar on a terminal, a plain line now and then anywhere else."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

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


def duration(seconds: float) -> str:
    """Time in the two largest units, e.g. 1 h 5 min; 3 min 20 s; 12 s."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
