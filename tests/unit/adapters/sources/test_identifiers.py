"""Identifiers of a column: blanks, spellings of one, and what a spreadsheet made of them."""

from pathlib import Path

import pytest

from simcrop.adapters.sources.identifiers import Identifiers
from simcrop.core.data.problems import Problem


def read(cells: list[str], *, joins: bool = True, column: str = "patient_id") -> tuple[list[str], list[Problem]]:
    identifiers = Identifiers(Path("reports.csv"), column, joins_spellings=joins)
    found = [identifiers.of(line, cell) for line, cell in enumerate(cells, 2)]
    return found, list(identifiers.problems())


def test_identifiers_that_are_fine_stay_as_they_are() -> None:
    cells = ["p1", "P-2", "0007", "1.2.840.113619", "Müller, Anna", "p1"]
    assert read(cells) == (cells, [])
    assert read(cells, joins=False) == (cells, [])


def test_blank_cells_are_no_identifier_and_are_counted() -> None:
    found, (note,) = read(["nan", "p1", " ", "#N/A", "None", "-"])
    assert found == ["", "p1", "", "", "", ""]
    assert (note.code, note.severity, note.values) == ("text.blank_id", "note", {"column": "patient_id", "rows": 5})
    assert note.message.startswith("has no patient_id in 5 rows (the first is line 2): each is taken for a patient")
    assert "for a study of its own" in read(["nan"], column="study_id")[1][0].message


@pytest.mark.parametrize("other", ["P1", " P1 ", "p 1", "Ｐ1", "p1\u200b2"])
def test_spellings_of_one_patient_are_one_and_named(other: str) -> None:
    first = "p12" if "2" in other else "p1"
    found, (note,) = read([first, other, first])
    assert found == [first] * 3
    assert (note.code, note.severity) == ("text.same_id", "note")
    assert note.values["ids"] == [first, other.strip()]
    assert note.values["lines"] == [2, 3]
    assert "taken for one" in note.message


def test_spaces_at_the_ends_and_forms_of_unicode_are_no_difference_worth_a_word() -> None:
    for joins in (True, False):
        assert read(["M\u00fcller", " Mu\u0308ller\u00a0", "M\u00fcller "], joins=joins) == (["M\u00fcller"] * 3, [])


def test_spellings_of_a_study_stay_apart_and_are_named() -> None:
    found, (note,) = read(["s1", "S1", "s1 "], joins=False, column="study_id")
    assert found == ["s1", "S1", "s1"]
    assert note.code == "text.same_id"
    assert "they stay two studies" in note.message


@pytest.mark.parametrize("ruined", ["1.2E+04", "12345.0", "1,5E+11", "123456789012345000"])
def test_identifiers_that_a_spreadsheet_ruined_are_named_once(ruined: str) -> None:
    found, (note,) = read([ruined, ruined])
    assert found == [ruined, ruined]
    assert (note.code, note.severity, note.values["id"], note.values["line"]) == ("text.ruined_id", "note", ruined, 2)


def test_a_number_with_and_without_a_decimal_is_one_patient() -> None:
    found, notes = read(["12345", "12345.0"])
    assert found == ["12345", "12345"]
    assert [note.code for note in notes] == ["text.same_id", "text.ruined_id"]


def test_numbers_that_differ_in_zeros_in_front_stay_two_and_are_named() -> None:
    found, (note,) = read(["7", "8", "007", "7", "A7", "0A7"])
    assert found == ["7", "8", "007", "7", "A7", "0A7"]
    assert (note.code, note.values["ids"], note.values["lines"]) == ("text.same_id", ["7", "007"], [2, 4])
    assert note.message.endswith("differ in zeros in front alone; they stay two")
