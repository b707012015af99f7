"""Excel workbooks and Parquet tables give the cells that a CSV would."""

import datetime
import sys
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import pytest
from pyarrow import parquet

from simcrop.adapters.formats.workbooks import as_text, parquet_cells, require_pyarrow, workbook_cells
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.errors import ConfigError

Cells = list[tuple[int, list[str]]]


def save(path: Path, **sheets: list[list[Any]]) -> None:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    workbook.save(path)


def cells_of(path: Path) -> tuple[Cells, list[Problem]]:
    told: list[Problem] = []
    return list(workbook_cells(path, lambda names: "volume" in names, told.append)), told


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (float("nan"), ""), (12345.0, "12345"), (12345, "12345"), (0.5, "0.5"), (-3.0, "-3"),
        (1.2345678901234567e19, "1.23456789012346E+19"), (True, "TRUE"), (False, "FALSE"),
        (datetime.datetime(2024, 3, 1), "2024-03-01"), (datetime.datetime(2024, 3, 1, 12, 30), "2024-03-01T12:30:00"),
        (datetime.date(2024, 3, 1), "2024-03-01"), (datetime.time(8, 5), "08:05:00"), (Decimal("7.00"), "7"),
        (Decimal("NaN"), ""), (Decimal("0.25"), "0.25"), (float("inf"), "inf"), (b"p1", "p1"), ("#N/A", "#N/A"),
    ],
)  # fmt: skip
def test_every_value_has_the_text_of_a_csv(value: object, text: str) -> None:
    assert as_text(value) == text


def test_a_workbook_is_read_by_its_rows(tmp_path: Path) -> None:
    rows = [["volume", "id", "when"], ["a", 12345.0, datetime.date(2024, 3, 1)], [], ["b", None, None], [None, "x"]]
    save(tmp_path / "t.xlsx", Table=rows)
    cells, told = cells_of(tmp_path / "t.xlsx")
    assert cells == [
        (1, ["volume", "id", "when"]),
        (2, ["a", "12345", "2024-03-01"]),
        (3, ["", "", ""]),
        (4, ["b", "", ""]),
        (5, ["", "x", ""]),
    ]
    assert told == []


def test_the_sheet_with_the_columns_is_read_and_another_one_is_told(tmp_path: Path) -> None:
    save(tmp_path / "t.xlsx", About=[["made by"], ["us"]], Data=[["volume"], ["a"]])
    assert cells_of(tmp_path / "t.xlsx") == ([(1, ["volume"]), (2, ["a"])], [])
    save(tmp_path / "t.xlsx", Data=[["volume"], ["a"]], Copy=[["volume"], ["b"]])
    cells, (note,) = cells_of(tmp_path / "t.xlsx")
    assert cells == [(1, ["volume"]), (2, ["a"])]
    assert (note.code, note.severity, note.values["sheets"]) == ("text.table", "note", ["Data", "Copy"])
    save(tmp_path / "t.xlsx", First=[["x"]], Second=[["y"]])
    assert cells_of(tmp_path / "t.xlsx")[0] == [(1, ["x"])]


def test_formulas_count_as_they_were_computed_and_else_are_told(tmp_path: Path) -> None:
    save(tmp_path / "t.xlsx", Table=[["volume", "n"], ["a", "=1+1"], ["b", "=2+2"]])
    cells, (note,) = cells_of(tmp_path / "t.xlsx")
    assert cells[1:] == [(2, ["a", ""]), (3, ["b", ""])]
    assert (note.severity, note.values["cells"]) == ("note", ["B2", "B3"])
    _edit(tmp_path / "t.xlsx", "xl/worksheets/sheet1.xml", b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>")
    cells, (note,) = cells_of(tmp_path / "t.xlsx")
    assert cells[1:] == [(2, ["a", "2"]), (3, ["b", ""])]
    assert note.values["cells"] == ["B3"]


def _edit(path: Path, part: str, old: bytes, new: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert old in parts[part]
    parts[part] = parts[part].replace(old, new)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("part", "old", "new", "words"),
    [
        ("xl/worksheets/sheet1.xml", b"<row", b"<rwo", "cannot be read as an Excel workbook"),
        ("xl/worksheets/sheet1.xml", b'<row r="2"', b'<row r="2000000000"', "has more than 1048576 rows"),
        ("xl/workbook.xml", b"sheets>", b"shoots>", "cannot be read as an Excel workbook|without a sheet"),
    ],
)
def test_a_damaged_workbook_is_refused(tmp_path: Path, part: str, old: bytes, new: bytes, words: str) -> None:
    save(tmp_path / "t.xlsx", Table=[["volume"], ["a"]])
    _edit(tmp_path / "t.xlsx", part, old, new)
    with pytest.raises(BadFileError, match=words):
        cells_of(tmp_path / "t.xlsx")


def test_a_cut_off_workbook_and_one_that_unpacks_to_too_much_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "t.xlsx", Table=[["volume"], ["a"]])
    (tmp_path / "cut.xlsx").write_bytes((tmp_path / "t.xlsx").read_bytes()[:-100])
    with pytest.raises(BadFileError, match="BadZipFile"):
        cells_of(tmp_path / "cut.xlsx")
    with zipfile.ZipFile(tmp_path / "t.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
    with pytest.raises(BadFileError, match="and no Excel workbook"):
        cells_of(tmp_path / "t.ods")
    with (
        zipfile.ZipFile(tmp_path / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("[Content_Types].xml", "w") as part,
    ):
        for _ in range(300):
            part.write(bytes(1 << 20))
    with pytest.raises(BadFileError) as refused:
        cells_of(tmp_path / "bomb.xlsx")
    assert refused.value.problem.code == "container.bomb"


def test_a_parquet_table_is_read_with_its_header_on_line_1(tmp_path: Path) -> None:
    columns = {"volume": ["a", "b"], "id": [12345.0, None], "__index_level_0__": [7, 8]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    assert list(parquet_cells(tmp_path / "t.parquet")) == [
        (1, ["volume", "id", ""]),
        (2, ["a", "12345", "7"]),
        (3, ["b", "", "8"]),
    ]
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[:-9])
    with pytest.raises(BadFileError, match="cannot be read as a Parquet table"):
        list(parquet_cells(tmp_path / "t.parquet"))


def test_without_openpyxl_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "t.xlsx", Table=[["volume"]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ConfigError, match=r"simcrop\[xlsx\].* or save the table as CSV"):
        cells_of(tmp_path / "t.xlsx")


def test_pyarrow_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"needs pyarrow; .*simcrop\[parquet\].* or take CSV"):
        require_pyarrow()
