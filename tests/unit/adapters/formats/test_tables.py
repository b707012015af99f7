"""Tables of any format: rows with the number of their line, and what is told of those that cannot be read."""

import gzip
from pathlib import Path

import openpyxl
import pyarrow
import pytest
from pyarrow import parquet

from simcrop.adapters.formats.tables import Row, find_table, read_rows
from simcrop.core.data.problems import BadFileError, Problem


def rows_of(
    path: Path, data: bytes, required: tuple[str, ...] = ("name",), optional: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], list[tuple[int, Row]], list[Problem]]:
    path.write_bytes(data)
    told: list[Problem] = []
    columns, rows = read_rows(path, required, told.append, optional=optional)
    return columns, list(rows), told


def test_rows_come_with_their_lines_and_names_without_blanks(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbf name , text\r\na,"two\r\nlines"\r\n\r\nb,c\r\n'
    columns, rows, told = rows_of(tmp_path / "a.csv", data)
    assert columns == ("name", "text")
    assert rows == [(3, {"name": "a", "text": "two\r\nlines"}), (5, {"name": "b", "text": "c"})]
    assert told == []


def test_a_row_of_another_length_is_left_out_and_told(tmp_path: Path) -> None:
    _, rows, told = rows_of(tmp_path / "a.csv", b"name,b\n1,2,3\n4,5\n6\n7,8,,\n")
    assert rows == [(3, {"name": "4", "b": "5"}), (5, {"name": "7", "b": "8"})]
    assert [(found.code, found.values["line"]) for found in told] == [("text.table", 2), ("text.table", 4)]


@pytest.mark.parametrize("blank", [b",", b" ,\xc2\xa0", b"nan,NaN", b"-,#N/A", b",,,,", b'"",""'])
def test_rows_that_say_nothing_are_skipped_and_counted(tmp_path: Path, blank: bytes) -> None:
    _, rows, told = rows_of(tmp_path / "a.csv", b"name,b\n1,2\n" + blank + b"\n3,4\n" + blank + b"\n")
    assert [line for line, _ in rows] == [2, 4]
    assert [(found.code, found.severity, found.values["lines"]) for found in told] == [
        ("text.blank_rows", "note", [3, 5])
    ]


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_the_names_of_the_columns_may_stand_below_a_title(tmp_path: Path, delimiter: str) -> None:
    text = 'Export of 1.2.2024, "old" system\n,,\n\nname,text,more\n1,a,\nname,b,\n'.replace(",", delimiter)
    _, rows, told = rows_of(tmp_path / "a.csv", text.encode(), required=("name", "text"))
    assert [(line, row["name"]) for line, row in rows] == [(5, "1"), (6, "name")]
    assert [(found.code, found.severity, found.values["line"]) for found in told] == [("text.table", "note", 4)]
    workbook = openpyxl.Workbook()
    for cells in (["Export"], [], ["name", "text", "more"], [1], ["2", "b", "c"]):
        workbook["Sheet"].append(cells)
    workbook.save(tmp_path / "a.xlsx")
    _, rows, told = rows_of(tmp_path / "b.xlsx", (tmp_path / "a.xlsx").read_bytes(), required=("name", "text"))
    assert [(line, row["name"]) for line, row in rows] == [(4, "1"), (5, "2")]
    assert [found.values["line"] for found in told] == [3]


def test_without_those_names_the_first_row_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=r"lacks the column 'name'; its columns are Export;"):
        rows_of(tmp_path / "a.csv", b"Export\nid,b\n1,2\n")


def test_heads_may_be_spelled_in_other_ways_but_for_those_that_are_there_already(tmp_path: Path) -> None:
    heads = "Ｎａｍｅ , Patient-ID,PATIENT ID 2,Text\n".encode()
    columns, _, _ = rows_of(tmp_path / "a.csv", heads, optional=("patient_id",))
    assert columns == ("name", "patient_id", "PATIENT ID 2", "Text")
    columns, _, _ = rows_of(tmp_path / "a.csv", b"Name,name\n")
    assert columns == ("Name", "name")
    with pytest.raises(BadFileError, match="has the column 'name' twice"):
        rows_of(tmp_path / "a.csv", b"Name,NAME\n")


def test_columns_without_a_name_are_not_read_and_told_where_they_hold_something(tmp_path: Path) -> None:
    columns, rows, told = rows_of(tmp_path / "a.csv", b",name,Unnamed: 0, \n0,a,1,\n,b,,\n")
    assert (columns, rows) == (("name",), [(2, {"name": "a"}), (3, {"name": "b"})])
    assert [(found.code, found.severity, found.values["lines"]) for found in told] == [("text.column", "note", [2])]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"b\n1\n", "text.column"),
        (b"name,name\n1,2\n", "text.column"),
        (b"name,b,b\n1,2,3\n", "text.column"),
        (b"", "text.column"),
        (b"\n,,\n", "text.column"),
        (b"\xff\xfe", "text.column"),
        (b"\xff\xfen", "text.table"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "text.table"),
        (b"PK\x03\x04" + bytes(99), "text.table"),
        (gzip.compress(b"name\n", mtime=0), "text.table"),
        (b"PAR1" + bytes(99), "text.table"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "text.table"),
        (b"\r\n<!DOCTYPE html><html>", "container.html"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "container.lfs_pointer"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, data: bytes, code: str) -> None:
    with pytest.raises(BadFileError) as refused:
        rows_of(tmp_path / "a.csv", data)
    assert refused.value.problem.code == code
    with pytest.raises(BadFileError, match="does not exist"):
        read_rows(tmp_path / "none.csv", ["a"])


def test_the_first_bytes_tell_the_format_whatever_the_name(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    for row in ([], ["Name", "id"], ["a", 7.0, None, "a remark"], [None, None], ["b", "8"]):
        workbook.active.append(row)
    workbook.save(tmp_path / "workbook.csv")
    told: list[Problem] = []
    columns, rows = read_rows(tmp_path / "workbook.csv", ["name"], told.append)
    found = [(3, {"name": "a", "id": "7"}), (5, {"name": "b", "id": "8"})]
    assert (columns, list(rows)) == (("name", "id"), found)
    assert {problem.code: problem.values["lines"] for problem in told} == {"text.blank_rows": [4], "text.column": [3]}
    parquet.write_table(pyarrow.table({"name": ["a", "b"], "id": [7, 8]}), tmp_path / "parquet.xlsx")
    columns, rows = read_rows(tmp_path / "parquet.xlsx", ["name"])
    assert (columns, [row for _, row in rows]) == (("name", "id"), [row for _, row in found])
    (tmp_path / "text.parquet").write_text("name;id\na;7\nb;8\n")
    assert [row for _, row in read_rows(tmp_path / "text.parquet", ["name"])[1]] == [row for _, row in found]


def test_a_table_is_found_by_its_name_with_any_suffix(tmp_path: Path) -> None:
    assert find_table(tmp_path / "labels.csv") is None
    assert find_table(tmp_path / "none" / "labels.csv") is None
    for name in ("labels.txt", "Labels.PARQUET", "labels.xlsx", "LABELS.CSV", "labels.csv"):
        (tmp_path / name).touch()
        found = find_table(tmp_path / "labels.csv")
        assert (found.name if found else None) == (None if name == "labels.txt" else name)
