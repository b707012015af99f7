"""Tables of features keep every bit, and tell what they hold."""

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from simcrop.adapters.applying.feature_tables import TableFormat, read_table, require_pyarrow, write_table
from simcrop.core.errors import ConfigError

NAMES = ["a.nii.gz", 'with "quotes", commas', "Lunge_ä.nii"]


@pytest.mark.parametrize("form", ["csv", "parquet"])
@given(values=arrays.arrays(np.float32, (3, 5), elements=st.floats(width=32, allow_nan=False)))
@settings(max_examples=20, deadline=None)
def test_what_is_written_is_read_to_the_last_bit(
    form: TableFormat, values: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("table") / "features"
    with path.open("wb") as file:
        write_table(file, dict(zip(NAMES, values, strict=True)), form, {})
    rows = read_table(path, form)
    assert [*rows] == NAMES
    assert all(rows[name].tobytes() == row.tobytes() for name, row in zip(NAMES, values, strict=True))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_may_have_no_rows(form: TableFormat, tmp_path: Path) -> None:
    with (tmp_path / "features").open("wb") as file:
        write_table(file, {}, form, {})
    assert read_table(tmp_path / "features", form) == {}


def test_a_csv_is_as_people_expect_it(tmp_path: Path) -> None:
    with (tmp_path / "features.csv").open("wb") as file:
        write_table(file, {"a": np.array([0.1, -2], np.float32)}, "csv", {})
    assert (tmp_path / "features.csv").read_text() == "scan,feature_0,feature_1\na,0.1,-2.0\n"


def test_a_parquet_file_says_what_its_features_are(tmp_path: Path) -> None:
    with (tmp_path / "f.parquet").open("wb") as file:
        write_table(file, {"a": np.array([0.1], np.float32)}, "parquet", {"simcrop": "{}"})
    assert pyarrow.parquet.read_schema(tmp_path / "f.parquet").metadata[b"simcrop"] == b"{}"


def test_pyarrow_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"needs pyarrow; .*simcrop\[parquet\].* or take --format csv"):
        require_pyarrow()
