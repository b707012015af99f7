"""Averages of the faithfulness tests, and where they are added."""

import io
import math

import pytest
from rich.console import Console
from rich.table import Table

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.language.faithfulness_report import (
    ErasedSentence,
    Faithfulness,
    SidedSentence,
    with_faithfulness,
)
from simcrop.adapters.evaluation.output import Evaluation, Predictions
from simcrop.core.data.study import Report, Study
from simcrop.core.evaluation.faithfulness import Erasure, SideReading

SETTINGS = EvaluationSettings(bootstrap=50)
STUDIES = [Study(f"s{n}", f"p{n}", Report("", ""), (f"v{n}",)) for n in range(3)]
ROWS = [("s0", "p0", "often", "One."), ("s1", "p1", "often", "Two."), ("s2", "p2", "seldom", "Three.")]
GROUNDED = Evaluation(
    task="grounding",
    metrics={"num_studies": 3},
    predictions=Predictions(("study_id", "patient_id", "finding", "sentence"), ROWS),
    table=Table(),
    warnings=("of grounding",),
)
ERASED = [
    ErasedSentence(STUDIES[0], "One.", "often", Erasure(2.0, 1.0, math.nan)),
    ErasedSentence(STUDIES[1], "Two.", "often", Erasure(0.0, 0.5, 0.25)),
    ErasedSentence(STUDIES[2], "Three.", "seldom", Erasure(-1.0, 0.0, 0.75)),
]
SIDED = [
    SidedSentence(STUDIES[0], "One.", SideReading(1.0, 0.0)),
    SidedSentence(STUDIES[1], "Not grounded.", SideReading(0.5, 1.0)),
]


def test_findings_weigh_the_same_and_what_cannot_be_measured_counts_nowhere() -> None:
    result = with_faithfulness(GROUNDED, Faithfulness(ERASED, SIDED, ("read this",)), SETTINGS, seed=0)
    found = result.metrics["faithfulness"]
    assert result.metrics["num_studies"] == 3
    assert (found["num_erased_studies"], found["num_erased_sentences"], found["num_sided_sentences"]) == (3, 3, 2)
    often = found["findings"]["often"]
    assert [often[key]["value"] for key in ("erased_falls", "erased_fall", "erased_specific")] == [0.75, 1.0, 0.25]
    means = [found[key]["value"] for key in ("erased_falls", "erased_fall", "erased_specific")]
    assert means == pytest.approx([0.375, 0.0, 0.5])
    assert (found["side_follows"]["value"], found["side_right"]["value"]) == (0.75, 0.5)
    assert list(result.warnings) == ["of grounding", "read this"]


def test_a_row_of_grounding_holds_what_was_measured_of_its_sentence() -> None:
    result = with_faithfulness(GROUNDED, Faithfulness(ERASED, SIDED), SETTINGS, seed=0)
    columns = ("erased_fall", "erased_specific", "side_follows", "side_right")
    assert tuple(result.predictions.columns)[4:] == columns
    assert [tuple(row)[4:] for row in result.predictions.rows] == [
        ("2", "", "1", "0"), ("0", "0.25", "", ""), ("-1", "0.75", "", "")
    ]  # fmt: skip


def test_the_table_has_a_line_for_each_number_that_there_is() -> None:
    [table] = with_faithfulness(GROUNDED, Faithfulness((), SIDED), SETTINGS, seed=0).more_tables
    console = Console(record=True, width=110, file=io.StringIO())
    console.print(table)
    text = console.export_text()
    assert "left and right swapped: its map follows" in text
    assert "erased: its score falls" not in text


def test_nothing_measured_adds_nothing_but_the_reason() -> None:
    result = with_faithfulness(GROUNDED, Faithfulness(warnings=("no finding was erased: why",)), SETTINGS, seed=0)
    assert (result.metrics, result.more_tables, result.predictions) == (GROUNDED.metrics, (), GROUNDED.predictions)
    assert list(result.warnings) == ["of grounding", "no finding was erased: why"]
