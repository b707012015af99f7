"""Features of many scans in one table, a row a scan: CSV, Parquet by pyarrow, .npz or .h5; or a file for each scan.

The first column holds names, every other a feature; in an .npz or .h5 file the arrays `names` and `features` do. Of a
folder every .npz and .h5 file is a scan, its array `features` the row. All keep every bit of a float32.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from simcrop.adapters.formats.array_files import read_arrays
from simcrop.core.errors import ConfigError, DataError

TableFormat = Literal["csv", "parquet"]
Rows = Mapping[str, NDArray[np.float32]]
"""Name of a scan -> its features."""
_NAME = "scan"
_HINT = "the first column holds names and all others numbers; in an .npz or .h5 file the arrays names and features do"


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
    """The rows of a table, whoever wrote it; the end of its name tells the format. Of a folder, those of its files.

    Raises:
        ConfigError: it ends in none of .csv, .parquet, .npz and .h5; or pyarrow or h5py is wanted and absent.
        DataError: it is absent, is no such table, or has two rows of one name.
    """
    readers = {".csv": _of_csv, ".parquet": _of_parquet, ".npz": _of_arrays, ".h5": _of_arrays}
    read = _of_folder if path.is_dir() else readers.get(path.suffix.lower())
    if read is None:
        raise ConfigError(f"{path}: ends in none of {', '.join(readers)}, the tables of features that are read")
    try:
        names, values = read(path)
        if len(names) != len(values) or values.ndim != 2:
            raise ValueError(f"{len(names)} names, and features of the shape {list(values.shape)}")
    except FileNotFoundError as error:
        raise DataError(f"{path}: does not exist; name a table of features") from error
    except (OSError, ValueError) as error:
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


def _of_arrays(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    arrays, _ = read_arrays(path, ["names", "features"])
    return [str(name) for name in arrays["names"]], np.asarray(arrays["features"], np.float32)


def _of_folder(folder: Path) -> tuple[list[str], NDArray[np.float32]]:
    """A file for each scan, which says whose it is; where it does not, its place below the folder does."""
    names: list[str] = []
    rows: list[NDArray[np.float32]] = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".npz", ".h5")):
        try:
            arrays, about = read_arrays(path, ["features"])
            says = {} if about is None else json.loads(about)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path.relative_to(folder)}: {error}") from error
        names.append(says.get(_NAME) or path.relative_to(folder).with_suffix("").as_posix())
        rows.append(np.asarray(arrays["features"], np.float32))
    if not rows:
        raise ValueError("it is a folder without .npz and .h5 files")
    return names, np.stack(rows)
