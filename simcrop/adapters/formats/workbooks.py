"""The cells of Excel workbooks (by openpyxl) and of Parquet tables (by pyarrow), as the text that a CSV would have."""

import math
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

from simcrop.adapters.formats.csv_tables import Cells, IsHeader
from simcrop.adapters.problems.paths import refuse_bomb
from simcrop.core.data.problems import BadFileError, OnProblem, bad_file, noted
from simcrop.core.errors import ConfigError, one_line

_MOST_ROWS = 1 << 20
"""Of a sheet. A damaged row number would otherwise be a billion blank rows."""
_EXACT = 1 << 53
"""Whole numbers above it are not kept by a spreadsheet."""
HEAD_ROWS = 64
"""Of a table; behind a title and a date, one of them names the columns."""
_INDEX = "__index_level_"
"""pandas gives this name to what it wrote without one."""


def workbook_cells(path: Path, is_header: IsHeader, on_problem: OnProblem) -> Cells:
    """The rows of the sheet that has the wanted columns, or of the first sheet; formulas as they were last computed.

    Args:
        path: the workbook.
        is_header: tells the sheet.
        on_problem: is told of other sheets with the same columns, and of formulas that were never computed.

    Raises:
        ConfigError: openpyxl is not installed.
        BadFileError: it is damaged, or no workbook.
    """
    openpyxl = _require_openpyxl()
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            is_of_office = "[Content_Types].xml" in archive.namelist()
        if not is_of_office:
            raise bad_file(path, "text.table", "is an archive, or a table of another program, and no Excel workbook")
        refuse_bomb(path, path.stat().st_size, unpacked)
        # Files rather than names, since openpyxl refuses those that end otherwise.
        with path.open("rb") as file, path.open("rb") as again, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and validations, which are not read
            values = openpyxl.load_workbook(file, read_only=True, data_only=True)
            formulas = openpyxl.load_workbook(again, read_only=True)
            name = _sheet(path, values, is_header, on_problem)
            yield from _rows_of(path, values[name], formulas[name], on_problem)
    except BadFileError:
        raise
    except FileNotFoundError as error:
        raise bad_file(path, "container.missing", "does not exist") from error
    except Exception as error:  # openpyxl lets whatever a damaged part brings about pass
        message = f"cannot be read as an Excel workbook ({type(error).__name__}: {one_line(error)})"
        raise bad_file(path, "text.table", message) from error


def parquet_cells(path: Path) -> Cells:
    """The rows of a Parquet table, its header first and on line 1.

    Raises:
        ConfigError: pyarrow is not installed.
        BadFileError: it is damaged, or no such table.
    """
    parquet, arrow = require_pyarrow(), import_module("pyarrow")
    try:
        with parquet.ParquetFile(path) as table:
            yield 1, ["" if name.startswith(_INDEX) else name for name in table.schema_arrow.names]
            line = 1
            for batch in table.iter_batches():
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    line += 1
                    yield line, [as_text(value) for value in row]
    except FileNotFoundError as error:
        raise bad_file(path, "container.missing", "does not exist") from error
    except (OSError, ValueError, arrow.ArrowException) as error:
        raise bad_file(path, "text.table", f"cannot be read as a Parquet table ({one_line(error)})") from error


def as_text(value: Any) -> str:
    """A cell as a CSV would have it: whole numbers without a point, days and times as ISO 8601, nothing as ""."""
    if value is None or (isinstance(value, float | Decimal) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float | Decimal):
        is_whole = math.isfinite(value) and value == int(value)
        return str(int(value)) if is_whole and abs(value) <= _EXACT else f"{value:.15G}" if is_whole else str(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def require_pyarrow() -> Any:
    """pyarrow.parquet. Raises ConfigError where it is not installed."""
    try:
        return import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError(
            "Parquet needs pyarrow; install simcrop with the extra of that name (pip install 'simcrop[parquet]'), or "
            "take CSV"
        ) from error


def _require_openpyxl() -> Any:
    try:
        return import_module("openpyxl")
    except ImportError as error:
        raise ConfigError(
            "Excel workbooks need openpyxl; install simcrop with the extra xlsx (pip install 'simcrop[xlsx]'), or save "
            "the table as CSV"
        ) from error


def _sheet(path: Path, workbook: Any, is_header: IsHeader, on_problem: OnProblem) -> str:
    sheets = [sheet for sheet in workbook.worksheets if hasattr(sheet, "iter_rows")]
    if not sheets:
        raise bad_file(path, "text.table", "is a workbook without a sheet of cells")
    fitting = [sheet.title for sheet in sheets if any(map(is_header, _head(sheet)))]
    if len(fitting) > 1:
        message = f"has the columns in several sheets, {', '.join(map(repr, fitting))}; the first is read"
        on_problem(noted(path, "text.table", message, sheets=fitting))
    return (fitting or [sheets[0].title])[0]


def _head(sheet: Any) -> Iterator[Sequence[str]]:
    """The first rows, one of which names the columns."""
    sheet.reset_dimensions()  # some programs write wrong ones
    for row in sheet.iter_rows(max_row=HEAD_ROWS, values_only=True):
        yield [as_text(value) for value in row]


def _rows_of(path: Path, values: Any, formulas: Any, on_problem: OnProblem) -> Cells:
    values.reset_dimensions()
    formulas.reset_dimensions()
    width = 0
    uncomputed: list[str] = []
    for line, (row, written) in enumerate(zip(values.iter_rows(), formulas.iter_rows(), strict=True), 1):
        if line > _MOST_ROWS:
            raise bad_file(path, "text.table", f"has more than {_MOST_ROWS} rows, which no workbook has")
        pairs = zip(row, written, strict=True)
        uncomputed += [other.coordinate for cell, other in pairs if cell.value is None and other.data_type == "f"]
        cells = [as_text(cell.value) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        width = max(width, len(cells))
        yield line, cells + [""] * (width - len(cells))
    if uncomputed:
        message = f"holds formulas that were never computed, and are read as blank: {len(uncomputed)}, the first in "
        message += f"{uncomputed[0]}; open it in a spreadsheet program and save it"
        on_problem(noted(path, "text.value", message, cells=uncomputed[:100]))
