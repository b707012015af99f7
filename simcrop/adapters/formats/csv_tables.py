"""The cells of a CSV, whoever saved it: its encoding and what parts its cells are found out."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from simcrop.adapters.formats.text_encoding import find_encoding
from simcrop.core.data.problems import OnProblem, bad_file
from simcrop.core.errors import one_line

Cells = Iterator[tuple[int, list[str]]]
"""Rows of cells, each with the number of the line on which it ends."""
IsHeader = Callable[[Sequence[str]], bool]
"""Whether these cells hold the names of all columns that a table must have."""

_DELIMITERS = ",;\t|"
_DECLARED = re.compile(r'"?sep=(.)"?[,;\t|]*\r?\n?\Z', re.IGNORECASE)
"""The line by which Excel is told what parts the cells."""
_MAX_CELL = 1 << 24
"""Characters of a cell: the csv module's own limit of 128 KiB is below what a mangled report may have."""
_HEAD_LINES = 64
"""More than a header with line breaks in its names has."""


def csv_cells(path: Path, is_header: IsHeader, on_problem: OnProblem) -> Cells:
    """The rows of a CSV, its header first.

    Args:
        path: the table.
        is_header: chooses what parts the cells: comma, semicolon, tab or bar.
        on_problem: is told of an encoding that is not UTF-8, as a note.

    Raises:
        BadFileError: if it is absent or no CSV; behind the first row, where it turns out so.
    """
    csv.field_size_limit(_MAX_CELL)
    encoding = ""
    try:
        encoding = find_encoding(path, on_problem)
        delimiter, skipped = _delimiter(path, encoding, is_header)
        with path.open(newline="", encoding=encoding) as file:
            for _ in islice(file, skipped):
                pass
            reader = csv.reader(map(_without_end, file), delimiter=delimiter, strict=True)
            for cells in reader:
                yield skipped + reader.line_num, cells
    except FileNotFoundError as error:
        raise bad_file(path, "container.missing", "does not exist") from error
    except (OSError, UnicodeError, csv.Error) as error:
        kind = "UTF-8" if encoding.startswith("utf-8") else encoding or "UTF-8"
        message = f"cannot be read as CSV in {kind} ({one_line(error)}): rows from there on are lost"
        raise bad_file(path, "text.table", message) from error


def _without_end(line: str) -> str:
    """A line without the sign by which DOS ended a file."""
    return line.rstrip("\x1a")


def _delimiter(path: Path, encoding: str, is_header: IsHeader) -> tuple[str, int]:
    """What parts the cells, and how many lines come before the header."""
    with path.open(newline="", encoding=encoding) as file:
        head = list(islice(file, _HEAD_LINES))
    declared = _DECLARED.match(head[0]) if head else None
    if declared is not None:
        return declared[1], 1
    rows = {delimiter: list(_rows(head, delimiter)) for delimiter in _DELIMITERS}
    headers = {delimiter: next(filter(is_header, cells), None) for delimiter, cells in rows.items()}
    fitting = {delimiter: cells for delimiter, cells in headers.items() if cells}
    first = {delimiter: next(filter(any, cells), []) for delimiter, cells in rows.items()}
    return max(fitting or _DELIMITERS, key=lambda delimiter: len((fitting or first)[delimiter])), 0


def _rows(lines: Sequence[str], delimiter: str) -> Iterator[list[str]]:
    with suppress(csv.Error):
        yield from csv.reader(lines, delimiter=delimiter, strict=True)
