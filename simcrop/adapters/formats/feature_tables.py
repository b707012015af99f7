"""Features of many scans in one table, a row a scan: CSV, Parquet by pyarrow, or an .npz file.

The first column holds names, every other a feature; in an .npz file the arrays `names` and `features` do. CSV and
Parquet keep every bit of a float32.
"""

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from simcrop.core.errors import ConfigError, DataError

TableFormat = Literal["csv", "parquet"]
Rows = Mapping[str, NDArray[np.float32]]
"""Name of a scan -> its features."""
_NAME = "scan"
_HINT = "the first column holds names and all others numbers; in an .npz file the arrays names and features do"


def require_pyarrow() -> Any:
    """pyarrow.parquet. Raises ConfigError where it is not installed."""
    try:
        return import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError(
            "Parquet needs pyarrow; install simcrop with the extra of that name (pip install 'simcrop[parquet]'), or "
            "take CSV"
        ) from error


def write_table(
    file: BinaryIO, rows: Rows, columns: Sequence[str] | None, form: TableFormat, about: Mapping[str, str]
) -> None:
    """Write rows in their order, their names in the column `scan`.

    Args:
        file: opened for writing.
        rows: all of one length.
        columns: names of the numbers; None takes feature_0, feature_1 ...
        form: csv or parquet.
        about: what the features are; goes into the metadata of a Parquet file.
    """
    width = len(next(iter(rows.values()), []))
    columns = [_NAME, *(columns or (f"feature_{number}" for number in range(width)))]
    if form == "csv":
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(columns)
        table.writerows((name, *map(str, row)) for name, row in rows.items())
        text.detach()
        return
    parquet, arrow = require_pyarrow(), import_module("pyarrow")
    values = np.stack([*rows.values()]) if rows else np.zeros((0, len(columns) - 1), np.float32)
    arrays = [arrow.array([*rows], arrow.string()), *(arrow.array(column) for column in values.T)]
    whole = arrow.Table.from_arrays(arrays, names=columns)
    parquet.write_table(whole.replace_schema_metadata(dict(about)), file)


def read_table(path: Path) -> dict[str, NDArray[np.float32]]:
    """The rows of a table, whoever wrote it; the end of its name tells the format.

    Raises:
        ConfigError: it ends in none of .csv, .parquet and .npz; or pyarrow is wanted and absent.
        DataError: it is absent, is no such table, or has two rows of one name.
    """
    readers = {".csv": _of_csv, ".parquet": _of_parquet, ".npz": _of_npz}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise ConfigError(f"{path}: ends in none of {', '.join(readers)}, the tables of features that are read")
    try:
        names, values = read(path)
        if len(names) != len(values) or values.ndim != 2:
            raise ValueError(f"{len(names)} names, and features of the shape {list(values.shape)}")
    except FileNotFoundError as error:
        raise DataError(f"{path}: does not exist; name a table of features") from error
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as a table of features ({error}); {_HINT}") from error
    rows = dict(zip(names, values, strict=True))
    if len(rows) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: has two rows of {twice}; leave one of them")
    return rows


def _of_csv(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        width = len(next(lines, [_NAME])) - 1
        rows = [row for row in lines if row]
    values = np.array([row[1:] for row in rows], np.float32)
    return [row[0] for row in rows], values if rows else np.zeros((0, width), np.float32)


def _of_parquet(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    table = require_pyarrow().read_table(path)
    names, *columns = table.columns
    values = [np.asarray(column.to_numpy(), np.float32) for column in columns]
    empty = np.zeros((len(names), 0), np.float32)
    return [str(name) for name in names.to_pylist()], np.stack(values, axis=1) if values else empty


def _of_npz(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    with np.load(path, allow_pickle=False) as arrays:
        return [str(name) for name in arrays["names"]], np.asarray(arrays["features"], np.float32)
