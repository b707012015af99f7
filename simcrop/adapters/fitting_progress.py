"""Progress of a classifier's training for people."""

import time
from collections.abc import Callable, Mapping

from rich.console import Console

from simcrop.adapters.progress import PLAIN_LINE_SECONDS, TrainingProgress


class FittingProgress(TrainingProgress):
    """A `TrainingProgress` whose lines that stay are the scores by which the best step is chosen, now and then.

    Args:
        steps: of the whole fit.
        console: where to draw; standard error by default.
        clock: seconds, for the time left and between lines.
    """

    def __init__(
        self, steps: int, *, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(steps, console=console, clock=clock)
        self._next_score = clock()

    def write(self, row: Mapping[str, float | int]) -> None:
        """Show one step."""
        super().write(row)
        if "selection_loss" in row and self._clock() >= self._next_score:
            self._next_score = self._clock() + PLAIN_LINE_SECONDS
            scores = f"loss {row['selection_loss']:.3f}, AUROC {row['selection_auroc']:.3f}"
            self._bar.note(f"step {row['step']}  selection: {scores}")
