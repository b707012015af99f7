"""The files of an evaluation: metrics.json, predictions.csv, pictures; and its one printed table."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from simcrop.adapters.evaluation.tables import results_console
from simcrop.adapters.formats.csv_writer import CsvWriter
from simcrop.adapters.system.files import replace_text, whole_file
from simcrop.adapters.system.provenance import git_commit, versions


@dataclass(frozen=True)
class Predictions:
    """A table with one row for each prediction.

    Attributes:
        columns: names; `study_id` first.
        rows: values, as many in each row as there are columns.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Evaluation:
    """The result of one evaluation.

    Attributes:
        task: name of the command that made it, such as probe.
        metrics: a tree of plain values for metrics.json; NaN is written as null.
        predictions: for predictions.csv.
        table: what is printed; its caption says what the columns mean.
        figures: name of the picture -> figure.
        warnings: sentences that a reader of the numbers must know; printed below the table, kept in metrics.json.
        more_tables: printed below the table.
    """

    task: str
    metrics: Mapping[str, Any]
    predictions: Predictions
    table: Table
    figures: Mapping[str, Figure] = field(default_factory=dict[str, Figure])
    warnings: Sequence[str] = ()
    more_tables: Sequence[Table] = ()


def write_evaluation(folder: Path, result: Evaluation, about: Mapping[str, Any]) -> None:
    """Write an evaluation's files and print its table; metrics.json comes last, so that it stands for a whole one.

    Args:
        folder: made where it is missing; files of an earlier evaluation that have the same names are replaced, and its
            metrics.json goes first.
        result: what was measured.
        about: what it was measured on: checkpoint, data, configuration.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").unlink(missing_ok=True)
    _write_predictions(folder / "predictions.csv", result.predictions)
    for name, figure in result.figures.items():
        save_figure(folder / "pictures" / f"{name}.png", figure)
    content = {
        "task": result.task,
        "metrics": result.metrics,
        "warnings": list(result.warnings),
        **about,
        "versions": versions(),
        "git_commit": git_commit(),
    }
    replace_text(folder / "metrics.json", json.dumps(without_nan(content), indent=1) + "\n")
    console = results_console()
    for table in (result.table, *result.more_tables):
        console.print(table)
    for warning in result.warnings:
        console.print(f"note: {warning}", highlight=False, markup=False)
    files = "metrics.json, predictions.csv" + (", pictures/" if result.figures else "")
    console.print(f"{folder}: {files}", highlight=False, markup=False, soft_wrap=True)


def save_figure(path: Path, figure: Figure, *, dpi: int = 110) -> None:
    """Write a picture as a PNG file."""
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=dpi)


def without_nan(tree: Any) -> Any:
    """The tree with None in place of numbers that JSON does not know."""
    if isinstance(tree, Mapping):
        return {key: without_nan(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [without_nan(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def _write_predictions(path: Path, predictions: Predictions) -> None:
    text = io.StringIO()
    table = CsvWriter(text, predictions.columns)
    for row in predictions.rows:
        table.add(row)
    replace_text(path, text.getvalue())
    table.tell(path)
