"""CSV tables of a data set: read row by row, errors naming file, column and row."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from simcrop.core.data.problems import OnProblem, bad_file, problem, refuse

Row = dict[str, str]
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
_UNKNOWN = {"", "nan", "na", "n/a", "<na>", "null"}
_MAX_CELL = 1 << 24
"""Characters of a cell: the csv module's own limit of 128 KiB is below what a mangled report may have."""


def read_rows(
    path: Path, required: Sequence[str], on_problem: OnProblem = refuse
) -> tuple[tuple[str, ...], Iterator[tuple[int, Row]]]:
    """Column names, and the rows with the number of the line on which each ends.

    Args:
        path: the table.
        required: columns that it must have.
        on_problem: is told of rows that cannot be read; they are left out.

    Raises:
        BadFileError: if the file is absent or no CSV, or a required column is missing.
    """
    csv.field_size_limit(_MAX_CELL)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            columns = tuple(name.strip() for name in next(csv.reader(file), []))
    except FileNotFoundError as error:
        raise bad_file(path, "container.missing", "does not exist") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise bad_file(path, "text.table", f"cannot be read as CSV in UTF-8 ({error})") from error
    missing = [name for name in required if name not in columns]
    if missing:
        message = f"lacks the column {missing[0]!r}; its columns are {', '.join(columns)[:200] or '(none)'}"
        raise bad_file(path, "text.column", message, missing=missing)
    twice = [name for name in columns if name and columns.count(name) > 1]
    if twice:
        raise bad_file(path, "text.column", f"has the column {twice[0]!r} twice", twice=twice[0])
    return columns, _rows(path, columns, on_problem)


def as_label(value: str) -> int | None:
    """0 or 1, or None for anything else."""
    return _LABELS.get(value.strip())


def is_unknown(value: str) -> bool:
    """Whether a cell is blank, or spells NaN as spreadsheets, pandas and R do."""
    return value.strip().casefold() in _UNKNOWN


def _rows(path: Path, columns: tuple[str, ...], on_problem: OnProblem) -> Iterator[tuple[int, Row]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            next(reader)
            for values in reader:
                if not values:
                    continue
                if len(values) != len(columns):
                    line = reader.line_num
                    message = f"the row that ends on line {line} has {len(values)} values for {len(columns)} columns"
                    on_problem(problem(path, "text.table", message, line=line))
                    continue
                yield reader.line_num, dict(zip(columns, values, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        on_problem(problem(path, "text.table", f"cannot be read as CSV in UTF-8 ({error}): rows behind it are lost"))
