"""Tables of results: their columns, the cells of estimates, and what a caption says of intervals."""

import math
import sys
from collections.abc import Iterable

from rich.box import SIMPLE_HEAD, Box
from rich.console import Console
from rich.table import Table

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.core.evaluation.bootstrap import Draws, Estimate

_FILE_COLUMNS = 110
"""Width of a table where no terminal says its own."""


def results_table(
    title: str, names: str, numbers: Iterable[str], *, no_wrap: bool = True, kind: Box = SIMPLE_HEAD, pad: bool = True
) -> Table:
    """A table without rows.

    Args:
        title: above it.
        names: head of the column of names.
        numbers: heads of the others.
        no_wrap: keep each of their cells on one line.
        kind: its lines.
        pad: leave room on both sides.
    """
    table = Table(title=title, box=kind, caption_justify="left", pad_edge=pad)
    table.add_column(names)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=no_wrap)
    return table


def cell(value: float, form: str = ".3f") -> str:
    """A number, or a dash where it cannot be measured."""
    return "-" if math.isnan(value) else format(value, form)


def interval_cell(estimate: Estimate, form: str = ".3f") -> str:
    """Both ends of an interval."""
    return "-" if math.isnan(estimate.low) else f"{estimate.low:{form}} to {estimate.high:{form}}"


def draws_of(settings: EvaluationSettings, seed: int) -> Draws:
    """The draws behind intervals, as a configuration asks for them."""
    return Draws(num_draws=settings.bootstrap, confidence=settings.confidence, seed=seed)


def interval_head(settings: EvaluationSettings) -> str:
    """Head of a column of intervals."""
    return f"{100 * settings.confidence:g} % interval"


def interval_note(settings: EvaluationSettings, who: str = "patients") -> str:
    """Say how intervals were drawn, for a caption."""
    return f"intervals: {who} drawn again, {settings.bootstrap} times"


def results_console() -> Console:
    """Console that results are printed on."""
    return Console(width=None if sys.stdout.isatty() else _FILE_COLUMNS)
