"""CSV tables of a data set: read row by row, errors naming file, column and row."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from simcrop.core.errors import DataError

Row = dict[str, str]
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


def read_rows(path: Path, required: Sequence[str]) -> tuple[tuple[str, ...], Iterator[tuple[int, Row]]]:
    """Column names, and the rows with the number of the line on which each ends.

    Raises:
        DataError: if the file is absent or no CSV, or a required column is missing; at a row of another length.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            columns = tuple(name.strip() for name in next(csv.reader(file), []))
    except FileNotFoundError as error:
        raise DataError(f"{path}: does not exist; correct the path, or download the table") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8 ({error}); save it again") from error
    missing = [name for name in required if name not in columns]
    if missing:
        raise DataError(f"{path}: lacks the column {missing[0]!r}; its columns are {', '.join(columns) or '(none)'}")
    return columns, _rows(path, columns)


def as_label(value: str) -> int | None:
    """0 or 1, or None for anything else."""
    return _LABELS.get(value.strip())


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, Row]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            next(reader)
            for values in reader:
                if not values:
                    continue
                if len(values) != len(columns):
                    raise DataError(
                        f"{path}: the row that ends on line {reader.line_num} has {len(values)} values for "
                        f"{len(columns)} columns; check its quotes and commas"
                    )
                yield reader.line_num, dict(zip(columns, values, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8 ({error}); save it again") from error
