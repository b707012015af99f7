"""Cells of tables: blanks in every spelling, labels in many languages, identifiers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcrop.core.data.cells import as_label, filled, is_blank, is_ruined, is_unsure, same_form, same_name, trimmed
from simcrop.core.reports.text import is_filler

BLANKS = [
    "", " ", "\t", "\u00a0", "\u3000", "\u200b", "\ufeff", "nan", "NaN", "NAN", " nan ", "-nan", "NaT", "None", "NONE",
    "null", "NULL", "(null)", "\\N", "NA", "N/A", "n.a.", "<NA>", "#N/A", "#N/A N/A", "#NV", "#N/D", "#YOK", "#REF!",
    "#NAME?", "#VALUE!", "#DIV/0!", "-1.#IND", "########", "-", "--", "---", "–", "—", "−", ".", "...", "?", "???", "_",
    "unknown", "Unknown", "(blank)", "-" * 40,
]  # fmt: skip
VALUES = ["0", "1", "nana", "Nan Smith", "p1", "-1", "a-b", "#1", "no", "none of it", "NA12", "+", "x" * 1000]


@pytest.mark.parametrize("cell", BLANKS)
def test_every_spelling_of_blank_is_one_and_a_filler_of_a_report(cell: str) -> None:
    assert is_blank(cell)
    assert filled(cell) == ""
    assert is_filler(cell)
    assert as_label(cell) is None
    assert is_unsure(cell)


@pytest.mark.parametrize("cell", VALUES)
def test_what_says_something_is_not_blank(cell: str) -> None:
    assert not is_blank(cell)
    assert filled(f"\u00a0{cell}\u200b \r\n") == cell


@pytest.mark.parametrize(
    ("cells", "value"),
    [
        (
            "1 1.0 1,0 1. 01 1.00 +1 TRUE true Yes y ja J WAHR oui VRAI sí SÌ sim evet tak да 是 はい 예 نعم כן हाँ ใช่",
            1,
        ),
        ("+ ++ Checked detected positive Pos present PRÉSENT positiv", 1),
        ("0 0.0 0,0 00 FALSE No n nein FALSCH non FAUX não hayır nie нет όχι 否 无 いいえ 아니오 لا לא नहीं ไม่ใช่", 0),
        ("Unchecked undetected negative Neg absent negativ", 0),
        ("2 -1 0.5 1.5 10 100 1e0 maybe F M x yes? 1,5 11", None),
    ],
)
def test_labels_in_many_spellings(cells: str, value: int | None) -> None:
    assert {cell: as_label(cell) for cell in cells.split()} == dict.fromkeys(cells.split(), value)
    assert as_label(f" {cells.split(maxsplit=1)[0]}\u00a0") == value


def test_a_dash_is_a_no_only_beside_a_plus_and_nobody_knows_has_words() -> None:
    assert [as_label("-"), as_label("-", dash_is_no=True), as_label("\u2212", dash_is_no=True)] == [None, 0, 0]
    assert all(map(is_unsure, ("?", "unclear", "-1", "-1.0", "Uncertain")))
    assert not any(map(is_unsure, ("maybe", "2", "yes", "0")))


def test_identifiers_are_compared_without_what_programs_change() -> None:
    same = ["P1", " p1 ", "p1\u00a0", "Ｐ１", "p 1", "p1\u200b"]
    assert {same_name(identifier) for identifier in same} == {"p1"}
    assert same_name("M\u00fcller") == same_name("Mu\u0308ller")
    assert same_form("M\u00fcller") == same_form(" Mu\u0308ller") != same_form("m\u00fcller")
    assert same_name("12345.0") == same_name("12345") == "12345" != same_name("1234.5")
    assert same_name("p1") != same_name("p2")


@pytest.mark.parametrize(
    "cell", ["1.2E+04", "1,2E+04", "1E5", "1.23456789012345E+19", "12345.0", "12345,00", "1" * 15 + "000"]
)
def test_identifiers_that_a_spreadsheet_ruined(cell: str) -> None:
    assert is_ruined(cell)


@pytest.mark.parametrize("cell", ["12345", "1.2", "1.2.840.113619", "E5", "2E", "1" * 18, "p1.0", "0", "100"])
def test_identifiers_that_it_left_alone(cell: str) -> None:
    assert not is_ruined(cell)


@given(st.text())
def test_whatever_a_cell_holds_it_is_one_thing(cell: str) -> None:
    assert trimmed(trimmed(cell)) == trimmed(cell)
    assert is_blank(cell) == (filled(cell) == "")
    assert not (is_blank(cell) and as_label(cell) is not None)
    assert not (is_unsure(cell) and as_label(cell) is not None)
    assert same_name(same_form(cell)) == same_name(cell)
