"""Label columns: the usual spellings of yes and no, odd cells, and columns that are something else."""

from pathlib import Path

import pytest

from simcrop.adapters.sources.label_columns import read_labels
from simcrop.core.data.problems import Problem


def labels_of(cells: list[str]) -> tuple[dict[int, int] | None, list[Problem]]:
    """What the cells of a column say, from line 2 on; None where it is no label."""
    told: list[Problem] = []
    rows = [(line, {"mass": cell, "other": ""}) for line, cell in enumerate(cells, 2)]
    found = read_labels(Path("reports.csv"), rows, ["mass", "other"], told.append)
    assert set(found) <= {"mass"}
    return (dict(found["mass"]) if found else None), told


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        ("1 0 1", {2: 1, 3: 0, 4: 1}),
        ("1.0 0.0 nan", {2: 1, 3: 0}),
        ("1,0 0,0 1", {2: 1, 3: 0, 4: 1}),
        ("TRUE FALSE #N/A", {2: 1, 3: 0}),
        ("WAHR FALSCH WAHR", {2: 1, 3: 0, 4: 1}),
        ("ja nein ?", {2: 1, 3: 0}),
        ("Yes no unknown", {2: 1, 3: 0}),
        ("+ - +", {2: 1, 3: 0, 4: 1}),
        ("1 - 0", {2: 1, 4: 0}),
        ("positive negative uncertain", {2: 1, 3: 0}),
        ("1 0 -1", {2: 1, 3: 0}),
        ("阳性 阴性 -", {2: 1, 3: 0}),
    ],
)
def test_yes_and_no_in_the_usual_spellings_are_labels_without_a_word(cells: str, values: dict[int, int]) -> None:
    assert labels_of(cells.split()) == (values, [])


def test_odd_cells_are_unknown_and_named_by_column_cell_and_line() -> None:
    values, (note,) = labels_of(["1", "maybe", "0"])
    assert values == {2: 1, 4: 0}
    assert (note.code, note.severity) == ("text.label_cell", "note")
    assert note.message == "line 3 has 'maybe' as 'mass', no yes or no; it is taken as unknown"
    values, notes = labels_of([*["1", "0"] * 9, "2", "see report"])
    assert values is not None
    assert len(values) == 18
    assert [note.values["line"] for note in notes] == [20, 21]


@pytest.mark.parametrize("cells", ["0 1 2", "1 0 2 0 3 1", "1 0 mild severe", "yes no left right"])
def test_a_column_that_may_be_meant_is_not_dropped_without_a_word(cells: str) -> None:
    values, (note,) = labels_of(cells.split())
    assert values is None
    assert (note.code, note.severity, note.values["column"]) == ("text.label_column", "note", "mass")


@pytest.mark.parametrize("cells", ["63 50 71 48 1 66", "nan - #N/A", "F M F", "left right left", "0.5 0.25 3", ""])
def test_columns_of_other_things_are_no_labels(cells: str) -> None:
    assert labels_of(cells.split()) == (None, [])


def test_a_long_cell_is_cut_in_messages() -> None:
    _, (note,) = labels_of(["1", "0", "seen " * 50])
    assert len(note.message) < 120
