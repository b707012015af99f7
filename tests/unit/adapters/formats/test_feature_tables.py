"""Tables of features keep every bit, and tell what they hold."""

import csv
from pathlib import Path

import h5py
import numpy as np
import openpyxl
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from simcrop.adapters.formats.feature_tables import TableFormat, read_table, write_table
from simcrop.core.errors import ConfigError, DataError

NAMES = ["a.nii.gz", 'with "quotes", commas', "Lunge_ä.nii"]


@pytest.mark.parametrize("form", ["csv", "parquet"])
@given(values=arrays.arrays(np.float32, (3, 5), elements=st.floats(width=32, allow_nan=False)))
@settings(max_examples=20, deadline=None)
def test_what_is_written_is_read_to_the_last_bit(
    form: TableFormat, values: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("table") / f"features.{form}"
    with path.open("wb") as file:
        write_table(file, dict(zip(NAMES, values, strict=True)), None, form, {}, path=path)
    rows = read_table(path)
    assert [*rows] == NAMES
    assert all(rows[name].tobytes() == row.tobytes() for name, row in zip(NAMES, values, strict=True))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_may_have_no_rows(form: TableFormat, tmp_path: Path) -> None:
    with (tmp_path / f"features.{form}").open("wb") as file:
        write_table(file, {}, None, form, {}, path=tmp_path / "t")
    assert read_table(tmp_path / f"features.{form}") == {}


def test_names_that_a_spreadsheet_would_compute_come_back_as_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["=1+1", "-a", "@b", "\tc", "d\re", 'f"g,h', "+1"]
    path = tmp_path / "features.csv"
    with path.open("wb") as file:
        write_table(file, {name: np.ones(1, np.float32) for name in names}, None, "csv", {}, path=path)
    assert [*read_table(path)] == [name.strip() for name in names]
    with path.open(newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["scan", *names]
    assert caplog.messages[0].startswith(f"{path}: column scan holds texts")


def test_a_csv_is_as_people_expect_it(tmp_path: Path) -> None:
    with (tmp_path / "features.csv").open("wb") as file:
        write_table(file, {"a": np.array([0.1, -2], np.float32)}, None, "csv", {}, path=tmp_path)
    assert (tmp_path / "features.csv").read_text() == "scan,feature_0,feature_1\na,0.1,-2.0\n"


def test_a_parquet_file_says_what_its_features_are(tmp_path: Path) -> None:
    with (tmp_path / "f.parquet").open("wb") as file:
        write_table(file, {"a": np.array([0.1], np.float32)}, None, "parquet", {"simcrop": "{}"}, path=tmp_path)
    assert pyarrow.parquet.read_schema(tmp_path / "f.parquet").metadata[b"simcrop"] == b"{}"


def test_tables_of_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufeffid,x,y\n007,1,2.5\n008,-1e3,0\n\n")
    np.savez(tmp_path / "b.npz", names=np.array(["007", "008"]), features=np.array([[1, 2.5], [-1e3, 0]]))
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["names"], file["features"] = ["007", "008"], [[1, 2.5], [-1e3, 0]]
    (tmp_path / "d.csv").write_text("sep=;\n;x;y\n 007;1,0;2,500\n008;-1e3;0\n;;\n")
    (tmp_path / "e.tsv").write_text("id\tGröße\ty\n007\t1\t2,500\n008\t-1e3\t0,0\n", encoding="utf-16")
    workbook = openpyxl.Workbook()
    for row in (["id", "x", "y"], ["007", 1, 2.5], ["008", -1e3, 0]):
        workbook["Sheet"].append(row)
    workbook.save(tmp_path / "f.xlsx")
    (tmp_path / "f.xlsx").rename(tmp_path / "g.csv")
    for path in sorted(tmp_path.iterdir()):
        assert {name: row.tolist() for name, row in read_table(path).items()} == {"007": [1, 2.5], "008": [-1000, 0]}


def test_a_folder_has_a_row_for_each_file_by_the_name_of_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    np.savez(tmp_path / "deep/007.nii.gz.npz", features=np.array([1, 2.5]))
    with h5py.File(tmp_path / "008.H5", "w") as file:
        file["features"] = np.array([-1e3, 0])
    (tmp_path / "notes.txt").touch()
    rows = {name: row.tolist() for name, row in read_table(tmp_path).items()}
    assert rows == {"008": [-1000, 0], "deep/007.nii.gz": [1, 2.5]}
    (tmp_path / "deep/009.npz").write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot be read as a table of features \(deep/009\.npz: "):
        read_table(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"it is a folder without \.npz and \.h5 files"):
        read_table(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "id,x\na,1\na,2\n", "has two rows of a; leave one"),
        ("a.csv", "id,x\na,red\n", r"a table of features \(line 2, column x: 'red' is no number\)"),
        ("a.csv", "id,x,y\na,1,\n", r"\(line 2, column y: '' is no number\)"),
        ("a.csv", 'id,x\na,"1,234"\n', r"'1,234' is no number"),
        ("a.csv", "id,x\na,1\nb,2,3\n", r"\(line 3 has 3 cells for 2 columns\)"),
        ("a.npz", "no archive", "cannot be read as a table"),
        ("a.parquet", "PAR1 no table", "cannot be read as a table"),
        ("a.h5", "no table", "cannot be read as a table"),
        ("a.h5", None, "does not exist; name a table of features"),
        ("a.csv", None, "does not exist; name a table of features"),
    ],
)
def test_what_is_no_table_is_refused_by_its_reason(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / name)


def test_arrays_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", names=np.array(["a"]), features=np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"1 names, and features of the shape \[2, 3\]"):
        read_table(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", rows=np.zeros((2, 3)))
    with pytest.raises(DataError, match="the arrays names and features do"):
        read_table(tmp_path / "a.npz")
    with pytest.raises(ConfigError, match=r"ends in none of \.csv, \.tsv, \.xlsx, \.xlsm, \.parquet, \.npz, \.h5"):
        read_table(tmp_path / "a.txt")
