"""Features of many scans in one table, a row a scan: CSV, or Parquet by pyarrow. Both keep every bit of a float32."""

import csv
import io
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from simcrop.core.errors import ConfigError

TableFormat = Literal["csv", "parquet"]
Rows = Mapping[str, NDArray[np.float32]]
"""Name of a scan -> its features."""
_NAME = "scan"


def require_pyarrow() -> None:
    """Raise ConfigError where pyarrow is not installed."""
    try:
        import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError(
            "--format parquet: needs pyarrow; install simcrop with the extra of that name (pip install "
            "'simcrop[parquet]'), or take --format csv"
        ) from error


def write_table(file: BinaryIO, rows: Rows, form: TableFormat, about: Mapping[str, str]) -> None:
    """Write rows in their order: the columns `scan`, feature_0, feature_1 ...

    Args:
        file: opened for writing.
        rows: all of one length.
        form: csv or parquet.
        about: what the features are; goes into the metadata of a Parquet file.
    """
    width = len(next(iter(rows.values()), []))
    if form == "csv":
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(_columns(width))
        table.writerows((name, *map(str, row)) for name, row in rows.items())
        text.detach()
        return
    arrow, parquet = (import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
    values = np.stack([*rows.values()]) if rows else np.zeros((0, 0), np.float32)
    columns = [arrow.array([*rows], arrow.string()), *(arrow.array(column) for column in values.T)]
    table = arrow.Table.from_arrays(columns, names=_columns(width))
    parquet.write_table(table.replace_schema_metadata(dict(about)), file)


def read_table(path: Path, form: TableFormat) -> dict[str, NDArray[np.float32]]:
    """The rows of a table that `write_table` has written."""
    if form == "csv":
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            next(lines, None)
            return {name: np.array(values, np.float32) for name, *values in lines}
    table: Any = import_module("pyarrow.parquet").read_table(path)
    names, *columns = (column.to_numpy() for column in table.columns)
    values = np.stack(columns, axis=1) if columns else np.zeros((len(names), 0), np.float32)
    return dict(zip(names.tolist(), values, strict=True))


def _columns(width: int) -> list[str]:
    return [_NAME, *(f"feature_{number}" for number in range(width))]
