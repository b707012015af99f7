"""CSV as programs save it: what parts the cells, and where it cannot be read."""

from pathlib import Path

import pytest

from simcrop.adapters.formats.csv_tables import csv_cells
from simcrop.core.data.problems import BadFileError, Problem


def cells_of(path: Path, data: bytes) -> list[tuple[int, list[str]]]:
    path.write_bytes(data)
    told: list[Problem] = []
    rows = list(csv_cells(path, lambda cells: {"a", "b"} <= set(cells), told.append))
    assert told == []
    return rows


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_what_parts_the_cells_is_found_by_the_names_of_the_columns(tmp_path: Path, delimiter: str) -> None:
    other = ";" if delimiter == "," else ","
    text = f'a{delimiter}b{delimiter}"c{other}d"\n1{delimiter}"2{delimiter}\nx"{delimiter}3{other}4\n'
    assert cells_of(tmp_path / "t.csv", text.encode()) == [
        (1, ["a", "b", f"c{other}d"]),
        (3, ["1", f"2{delimiter}\nx", f"3{other}4"]),
    ]


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"sep=;\r\na;b,c\r\n1;2\r\n", [(2, ["a", "b,c"]), (3, ["1", "2"])]),
        (b'"sep=|"\na|b\n', [(2, ["a", "b"])]),
        (b"a,b\n1,2\n\x1a", [(1, ["a", "b"]), (2, ["1", "2"]), (3, [])]),
        (b"a,b\r1,2\r", [(1, ["a", "b"]), (2, ["1", "2"])]),
        (b"\n\na;b\n", [(1, []), (2, []), (3, ["a", "b"])]),
        ('"a";"b"\n"ä";"2"\n'.encode("utf-16"), [(1, ["a", "b"]), (2, ["ä", "2"])]),
        (b"", []),
        (b"\xef\xbb\xbf", []),
    ],
)  # fmt: skip
def test_what_other_programs_write(tmp_path: Path, data: bytes, rows: list[tuple[int, list[str]]]) -> None:
    assert cells_of(tmp_path / "t.csv", data) == rows


def test_without_the_names_the_most_columns_are_taken(tmp_path: Path) -> None:
    assert cells_of(tmp_path / "t.csv", b"x;y;z,w\n")[0] == (1, ["x", "y", "z,w"])


@pytest.mark.parametrize(
    ("data", "num_rows", "words"),
    [
        (b'a,b\n1,2\n3,"open', 2, "cannot be read as CSV in UTF-8 .*unexpected end of data.*lost"),
        (b'a,b\n1,2\n3,"4"5\n', 2, "cannot be read as CSV in UTF-8"),
        ("a,b\nä,ö\nü,".encode() + b"\xc3", 0, "cannot be read as CSV in UTF-8"),
        ("a,b\n1,2".encode("utf-16") + b"\x00", 0, "cannot be read as CSV in utf-16"),
    ],
)
def test_a_damaged_end_is_told_behind_the_rows_that_are_read(
    tmp_path: Path, data: bytes, num_rows: int, words: str
) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    cells = csv_cells(tmp_path / "t.csv", lambda names: True, lambda found: None)
    rows: list[tuple[int, list[str]]] = []
    with pytest.raises(BadFileError, match=words):
        rows.extend(cells)
    assert len(rows) == num_rows
