"""Tables of a data set, as CSV, Excel workbook or Parquet: read row by row, errors naming file, column and row."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path

from simcrop.adapters.formats.csv_tables import Cells, IsHeader, csv_cells
from simcrop.adapters.formats.workbooks import HEAD_ROWS, parquet_cells, workbook_cells
from simcrop.adapters.problems.paths import is_file
from simcrop.core.data.cells import is_blank, trimmed
from simcrop.core.data.problems import BadFileError, OnProblem, bad_file, noted, problem, refuse

Row = dict[str, str]
SUFFIXES = (".csv", ".tsv", ".xlsx", ".xlsm", ".parquet")
"""Of tables, the ones that are looked for first in front; what a file is, its first bytes tell."""
_UNNAMED = re.compile(r"Unnamed: \d+")
"""pandas' name for a column without one."""
_LINE_BREAK = re.compile(r"\s*[\r\n]\s*")
_WORKBOOK = b"PK\x03\x04"
_PARQUET = b"PAR1"
_OLD_WORKBOOK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def read_rows(
    path: Path, required: Sequence[str], on_problem: OnProblem = refuse, *, optional: Sequence[str] = ()
) -> tuple[tuple[str, ...], Iterator[tuple[int, Row]]]:
    """Column names, and the rows with the number of the line on which each ends. Rows without any value are skipped.

    Args:
        path: the table.
        required: columns that it must have. A head may differ from their names in case, and have spaces, dashes or
            underscores between its words.
        on_problem: is told of rows that cannot be read, which are left out, and of what was passed over.
        optional: columns that are known by their names too.

    Raises:
        BadFileError: if the file is absent or no table, or a required column is missing.
        ConfigError: its format needs a library that is not installed.
    """
    known = (*required, *optional)

    def is_header(cells: Sequence[str]) -> bool:
        return {*required} <= {*_columns(cells, known)}

    header, cells = _from_header(path, table_cells(path, is_header, on_problem), is_header, on_problem)
    columns = _columns(header, known)
    missing = [name for name in required if name not in columns]
    if missing:
        names = ", ".join(name for name in columns if name)
        message = f"lacks the column {missing[0]!r}; its columns are {names[:200] or '(none)'}"
        raise bad_file(path, "text.column", message, missing=missing)
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    if twice:
        raise bad_file(path, "text.column", f"has the column {twice[0]!r} twice", twice=twice[0])
    named = tuple(name for name in columns if name)
    return named, _rows(path, columns, cells, on_problem, is_grid=_start(path).startswith(_WORKBOOK))


def _from_header(path: Path, cells: Cells, is_header: IsHeader, on_problem: OnProblem) -> tuple[Sequence[str], Cells]:
    """The row with the names of the columns, and those behind it. Where none is below a title, it is the first one."""
    head: list[tuple[int, list[str]]] = []
    for line, row in islice(cells, HEAD_ROWS):
        if not head and all(map(is_blank, row)):
            continue
        if is_header(row):
            if head:
                message = f"has the names of its columns on line {line}; what stands above is not read"
                on_problem(noted(path, "text.table", message, line=line))
            return row, cells
        head.append((line, row))
    return (head[0][1], chain(head[1:], cells)) if head else ([], cells)


def find_table(path: Path) -> Path | None:
    """A table where it is expected: itself, or one of its name with another of `SUFFIXES`, in whatever case."""
    if is_file(path):
        return path
    stem = path.stem.casefold()
    try:
        beside = sorted(other for other in path.parent.iterdir() if other.stem.casefold() == stem)
    except OSError:
        return None
    return next((other for suffix in SUFFIXES for other in beside if other.suffix.lower() == suffix), None)


def table_cells(path: Path, is_header: IsHeader, on_problem: OnProblem) -> Cells:
    """The rows of a table with its header, whatever program wrote it.

    Args:
        path: the table.
        is_header: tells what parts the cells of a CSV, and the sheet of a workbook.
        on_problem: is told of what was found out, or passed over.

    Raises:
        BadFileError: it is absent or no table; behind the first row, where it turns out so.
        ConfigError: its format needs a library that is not installed.
    """
    start = _start(path)
    if start.startswith(_WORKBOOK):
        return workbook_cells(path, is_header, on_problem)
    if start.startswith(_PARQUET):
        return parquet_cells(path)
    if start.startswith(_OLD_WORKBOOK):
        message = "is a workbook of Excel 97, or one with a password; only .xlsx without one is read"
        raise bad_file(path, "text.table", message)
    if start.startswith(b"\x1f\x8b"):
        raise bad_file(path, "text.table", "is packed by gzip; unpack it")
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if text.startswith((b"<!doctype", b"<html")):
        raise bad_file(path, "container.html", "is a web page")
    if text.startswith(b"version https://git-lfs"):
        raise bad_file(path, "container.lfs_pointer", "is a pointer of Git LFS")
    return csv_cells(path, is_header, on_problem)


def is_parquet(path: Path) -> bool:
    """Whether a file is a Parquet table, by its first bytes. Raises BadFileError where it cannot be read."""
    return _start(path).startswith(_PARQUET)


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except FileNotFoundError as error:
        raise bad_file(path, "container.missing", "does not exist") from error
    except OSError as error:
        raise bad_file(path, "container.unreadable", f"cannot be read ({error.strerror})") from error


def _columns(header: Sequence[str], known: Sequence[str]) -> list[str]:
    """Names of columns: a head that is spelled otherwise gets the known name, unless another one has it already."""
    heads = ["" if _UNNAMED.fullmatch(head) else _LINE_BREAK.sub(" ", trimmed(head)) for head in header]
    by_key: Mapping[str, str] = {_key(name): name for name in known if name not in heads}
    return [by_key.get(_key(head), head) for head in heads]


def _key(head: str) -> str:
    return re.sub(r"[\s_-]+", "_", unicodedata.normalize("NFKC", head)).casefold()


def _rows(
    path: Path, columns: Sequence[str], cells: Cells, on_problem: OnProblem, *, is_grid: bool
) -> Iterator[tuple[int, Row]]:
    """The rows under their names; in a grid, what stands beyond the header is but a column without a name."""
    blank: list[int] = []
    unnamed: list[int] = []
    try:
        for line, values in cells:
            if not values:
                continue
            if all(map(is_blank, values)):
                blank.append(line)
                continue
            has_more = not all(map(is_blank, values[len(columns) :]))
            if len(values) < len(columns) or (has_more and not is_grid):
                message = f"the row that ends on line {line} has {len(values)} values for {len(columns)} columns"
                on_problem(problem(path, "text.table", message, line=line))
                continue
            named = list(zip(columns, values, strict=False))
            if has_more or not all(is_blank(value) for name, value in named if not name):
                unnamed.append(line)
            yield line, {name: value for name, value in named if name}
    except BadFileError as error:
        on_problem(error.problem)
    tell = partial(_tell_lines, path, on_problem)
    tell("text.blank_rows", blank, "rows without any value, which are skipped")
    tell("text.column", unnamed, "values in a column without a name, which is not read")


def _tell_lines(path: Path, on_problem: OnProblem, code: str, lines: Sequence[int], what: str) -> None:
    if lines:
        message = f"has {what}: {len(lines)}, the first on line {lines[0]}"
        on_problem(noted(path, code, message, lines=list(lines[:100])))
