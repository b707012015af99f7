"""CSV tables: rows with the number of their line, and what is told of those that cannot be read."""

from pathlib import Path

import pytest

from simcrop.adapters.formats.csv_tables import as_label, is_unknown, read_rows
from simcrop.core.data.problems import BadFileError, Problem


def test_rows_come_with_their_lines_and_names_without_blanks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbf name , text\r\na,"two\r\nlines"\r\n\r\nb,c\r\n')
    columns, rows = read_rows(tmp_path / "a.csv", ["name"])
    assert columns == ("name", "text")
    assert list(rows) == [(3, {"name": "a", "text": "two\r\nlines"}), (5, {"name": "b", "text": "c"})]


def test_a_row_of_another_length_is_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2,3\n4,5\n")
    told: list[Problem] = []
    _, rows = read_rows(tmp_path / "a.csv", ["a"], told.append)
    assert list(rows) == [(3, {"a": "4", "b": "5"})]
    assert [(found.code, found.values["line"]) for found in told] == [("text.table", 2)]


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"b\n1\n", "text.column"), (b"a,a\n1,2\n", "text.column"), (b"", "text.column"), (b"\xff\xfe", "text.table")],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, data: bytes, code: str) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(BadFileError) as refused:
        read_rows(tmp_path / "a.csv", ["a"])
    assert refused.value.problem.code == code
    with pytest.raises(BadFileError, match="does not exist"):
        read_rows(tmp_path / "none.csv", ["a"])


def test_labels_and_blanks() -> None:
    assert [as_label(cell) for cell in ("0", " 1 ", "0.0", "1.0", "yes", "", "2")] == [0, 1, 0, 1, None, None, None]
    assert [is_unknown(cell) for cell in ("", " ", "NaN", "n/a", "null", "0", "none of it")] == [True] * 5 + [False] * 2
