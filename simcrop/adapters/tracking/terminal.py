"""Progress of a training for people."""

import time
from collections.abc import Callable, Mapping

from rich.console import Console

from simcrop.adapters.system.progress import PLAIN_LINE_SECONDS, Bar, duration
from simcrop.core.recipe import TERMS

_SCORES = {"selection_loss": "loss", "selection_auroc": "AUROC", "selection_dice": "Dice"}


class TrainingProgress:
    """A MetricSink that shows each step: every loss term, studies/s, the share of time spent on data, time left.

    Held-out losses get a line that stays, scores of the selection patients one now and then.

    Args:
        steps: of the whole training, at most.
        console: where to draw; standard error by default.
        clock: seconds, for the time left and between lines.
    """

    def __init__(
        self, steps: int, *, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._steps, self._clock = steps, clock
        self._bar = Bar("step", steps, console=console, clock=clock)
        self._last = self._next_score = clock()
        self._first_step: int | None = None
        self._seconds_per_step = 0.0

    def write(self, row: Mapping[str, float | int]) -> None:
        """Show one row of metrics.jsonl or training.jsonl."""
        step = int(row["step"])
        self._measure(step)
        self._bar.update(step, f"{_losses(row, 'loss')}  {self._pace(row, step)}")
        if "validation_loss" in row:
            self._bar.note(f"step {step}/{self._steps}  held-out {_losses(row, 'validation_loss')}")
        scores = [f"{label} {row[key]:.3f}" for key, label in _SCORES.items() if key in row]
        if scores and self._clock() >= self._next_score:
            self._next_score = self._clock() + PLAIN_LINE_SECONDS
            self._bar.note(f"step {step}/{self._steps}  selection: {', '.join(scores)}")

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


def _losses(row: Mapping[str, float | int], key: str) -> str:
    terms = [f"{term} {row[f'{key}_{term}']:.3f}" for term in TERMS if f"{key}_{term}" in row]
    total = f"loss {row[key]:.3f}" if key in row else "loss"
    return f"{total} ({', '.join(terms)})" if terms else total
