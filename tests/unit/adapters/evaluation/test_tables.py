"""Tables of estimates, as people read them."""

import io
import math

from rich.console import Console

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.tables import (
    cell,
    draws_of,
    interval_cell,
    interval_head,
    interval_note,
    results_table,
)
from simcrop.core.evaluation.bootstrap import Estimate

SETTINGS = EvaluationSettings(bootstrap=20, confidence=0.9)
UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def test_what_cannot_be_measured_is_a_dash() -> None:
    assert [cell(0.12345), cell(7.0, ".0f"), cell(math.nan)] == ["0.123", "7", "-"]
    assert interval_cell(Estimate(0.5, 0.25, 0.75)) == "0.250 to 0.750"
    assert [interval_cell(Estimate(3.0, 2.0, 4.0), ".0f"), interval_cell(UNKNOWN)] == ["2 to 4", "-"]


def test_intervals_are_told_as_they_were_drawn() -> None:
    assert interval_head(SETTINGS) == "90 % interval"
    assert interval_note(SETTINGS) == "intervals: patients drawn again, 20 times"
    assert interval_note(SETTINGS, "queries") == "intervals: queries drawn again, 20 times"
    assert draws_of(SETTINGS, seed=3) == {"num_draws": 20, "confidence": 0.9, "seed": 3}


def test_names_stand_on_the_left_and_numbers_on_the_right() -> None:
    table = results_table("Title", "name", ("AUROC",))
    table.add_row("a", "1")
    console = Console(file=io.StringIO(), width=60, record=True)
    console.print(table)
    row = next(line for line in console.export_text().splitlines() if line.strip().startswith("a"))
    assert row.rstrip() == "  a          1"
