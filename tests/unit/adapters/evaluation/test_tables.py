"""Cells of results, and what stands around them."""

import math
from io import StringIO

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
from simcrop.core.evaluation.bootstrap import Draws, Estimate

SETTINGS = EvaluationSettings(bootstrap=200, confidence=0.9)


def test_what_cannot_be_measured_is_a_dash() -> None:
    assert (cell(0.12345), cell(math.nan), cell(12.4, ".0f")) == ("0.123", "-", "12")
    assert interval_cell(Estimate(0.5, 0.25, 0.75)) == "0.250 to 0.750"
    assert interval_cell(Estimate(3.0, 1.0, 12.0), ".0f") == "1 to 12"
    assert interval_cell(Estimate(0.5, math.nan, math.nan)) == "-"


def test_intervals_are_named_as_they_are_drawn() -> None:
    assert draws_of(SETTINGS, 7) == Draws(num_draws=200, confidence=0.9, seed=7)
    assert interval_head(SETTINGS) == "90 % interval"
    assert interval_note(SETTINGS) == "intervals: patients drawn again, 200 times"
    assert interval_note(SETTINGS, "patients of the queries").startswith("intervals: patients of the queries drawn")


def test_names_stand_left_and_numbers_right() -> None:
    table = results_table("title", "finding", ["AUROC", "chance"])
    table.add_row("Nodule", "0.5", "0.25")
    console = Console(width=60, record=True, file=StringIO())
    console.print(table)
    lines = [line.rstrip() for line in console.export_text().splitlines() if line.strip()]
    assert lines[0].strip() == "title"
    assert lines[1].split() == ["finding", "AUROC", "chance"]
    assert lines[-1].endswith("0.5     0.25")
