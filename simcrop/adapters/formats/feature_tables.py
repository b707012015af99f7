"""Features of many scans in one table, a row a scan: any table that is read, .npz or .h5; or a file for each scan.

The first column holds names, every other a feature; in an .npz or .h5 file the arrays `names` and `features` do. Of a
folder every .npz and .h5 file is a scan, its array `features` the row. All keep every bit of a float32.
"""

import io
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from simcrop.adapters.formats.array_files import read_arrays
from simcrop.adapters.formats.csv_writer import CsvWriter
from simcrop.adapters.formats.tables import SUFFIXES, is_parquet, table_cells
from simcrop.adapters.formats.workbooks import require_pyarrow
from simcrop.adapters.system.outside_files import parse_json
from simcrop.core.data.cells import is_blank
from simcrop.core.data.problems import refuse
from simcrop.core.errors import ConfigError, DataError

TableFormat = Literal["csv", "parquet"]
Rows = Mapping[str, NDArray[np.float32]]
"""Name of a scan -> its features."""
_NAME = "scan"
_ARRAYS = (".npz", ".h5")
_THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2}(?:,\d{3})+\s*")
"""A number whose commas may part thousands. Where another one in the table has a comma, it stands for the point."""
_HINT = "the first column holds names and all others numbers; in an .npz or .h5 file the arrays names and features do"


def write_table(
    file: BinaryIO,
    rows: Rows,
    columns: Sequence[str] | None,
    form: TableFormat,
    about: Mapping[str, str],
    *,
    path: Path,
) -> None:
    """Write rows in their order, their names in the column `scan`.

    Args:
        file: opened for writing.
        rows: all of one length.
        columns: names of the numbers; None takes feature_0, feature_1 ...
        form: csv or parquet.
        about: what the features are; goes into the metadata of a Parquet file.
        path: of what is written, for a warning of names that a spreadsheet would compute.
    """
    width = len(next(iter(rows.values()), []))
    columns = [_NAME, *(columns or (f"feature_{number}" for number in range(width)))]
    if form == "csv":
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        table = CsvWriter(text, columns)
        for name, row in rows.items():
            table.add((name, *map(str, row)))
        text.detach()
        table.tell(path)
        return
    parquet, arrow = require_pyarrow(), import_module("pyarrow")
    values = np.stack([*rows.values()]) if rows else np.zeros((0, len(columns) - 1), np.float32)
    arrays = [arrow.array([*rows], arrow.string()), *(arrow.array(column) for column in values.T)]
    whole = arrow.Table.from_arrays(arrays, names=columns)
    parquet.write_table(whole.replace_schema_metadata(dict(about)), file)


def read_table(path: Path) -> dict[str, NDArray[np.float32]]:
    """The rows of a table, whoever wrote it. Of a folder, those of its files.

    Raises:
        ConfigError: its name ends in none of the known ways; or what reads it is not installed.
        DataError: it is absent, is no such table, or has two rows of one name.
    """
    readers = {**dict.fromkeys(SUFFIXES, _of_cells), **dict.fromkeys(_ARRAYS, _of_arrays)}
    read = _of_folder if path.is_dir() else readers.get(path.suffix.lower())
    if read is None:
        raise ConfigError(f"{path}: ends in none of {', '.join(readers)}, the tables of features that are read")
    if not path.exists():
        raise DataError(f"{path}: does not exist; name a table of features")
    try:
        names, values = read(path)
        if len(names) != len(values) or values.ndim != 2:
            raise ValueError(f"{len(names)} names, and features of the shape {list(values.shape)}")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a table of features ({error}); {_HINT}") from error
    rows = dict(zip(names, values, strict=True))
    if len(rows) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: has two rows of {twice}; leave one of them")
    return rows


def _of_cells(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """A table's first column, and the numbers in all others. Those of Parquet are taken as they are."""
    if is_parquet(path):
        return _of_parquet(path)
    cells = ((line, row) for line, row in table_cells(path, lambda row: len(row) > 1, refuse) if _says(row))
    _, columns = next(cells, (0, [_NAME]))
    rows = list(cells)
    for line, row in rows:
        if len(row) != len(columns):
            raise ValueError(f"line {line} has {len(row)} cells for {len(columns)} columns")
    values = np.zeros((len(rows), len(columns) - 1), np.float32)
    commas = [cell for _, row in rows for cell in row[1:] if "," in cell]
    are_decimals = not all(map(_THOUSANDS.fullmatch, commas))
    for place, (line, row) in enumerate(rows):
        given = [cell.replace(",", ".") if are_decimals and cell.count(",") == 1 else cell for cell in row[1:]]
        try:
            values[place] = np.array(given, np.float32)
        except ValueError:
            raise ValueError(f"line {line}, {_first_without_number(columns[1:], row[1:], given)}") from None
    return [row[0].strip() for _, row in rows], values


def _says(row: Sequence[str]) -> bool:
    return not all(map(is_blank, row))


def _first_without_number(columns: Sequence[str], row: Sequence[str], given: Sequence[str]) -> str:
    for name, cell, number in zip(columns, row, given, strict=True):
        try:
            np.float32(number)
        except ValueError:
            return f"column {name}: {cell!r} is no number"
    raise AssertionError("every cell is a number")


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
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ARRAYS):
        try:
            arrays, about = read_arrays(path, ["features"])
            says = {} if about is None else parse_json(about)
            if not isinstance(says, dict):
                raise ValueError("what it says of itself is no object of JSON")
        except (OSError, ValueError) as error:
            raise ValueError(f"{path.relative_to(folder)}: {error}") from error
        names.append(str(says.get(_NAME) or "") or path.relative_to(folder).with_suffix("").as_posix())
        rows.append(np.asarray(arrays["features"], np.float32))
    if not rows:
        raise ValueError("it is a folder without .npz and .h5 files")
    return names, np.stack(rows)
