"""CSV that is written: every text as it is, and a warning where a spreadsheet would compute it.

A cell that begins with one of = + - @ is a formula to a spreadsheet, whoever wrote it: the name of a scan can open a
web page. To set a mark before it, as some do, would change names by which tables are joined, and would help against
some programs alone. So nothing is changed, and who opens the file is told.
Source: https://owasp.org/www-community/attacks/CSV_Injection.
"""

import csv
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_log = logging.getLogger("simcrop")
_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_SHOWN = 40


class CsvWriter:
    """Rows of a CSV whose columns are known.

    Args:
        stream: to write to; the header is written at once.
        columns: their names.
    """

    def __init__(self, stream: io.TextIOBase, columns: Sequence[str]) -> None:
        self._columns = columns
        self._writer = csv.writer(_UnixLines(stream), lineterminator="\r\n")
        self._formula: tuple[str, str] | None = None
        self.add(columns)

    def add(self, row: Sequence[Any]) -> None:
        """Write a row."""
        self._writer.writerow(row)
        if self._formula is None:
            formulas = ((name, cell) for name, cell in zip(self._columns, row, strict=False) if is_formula(cell))
            self._formula = next(formulas, None)

    def tell(self, path: Path) -> None:
        """Warn of what a spreadsheet would compute, once the file is written, by its path."""
        if self._formula is not None:
            column, text = self._formula
            _log.warning(
                "%s: column %s holds texts that a spreadsheet takes for formulas, such as %s; import the file with "
                "that column as text, or read it with pandas",
                path,
                ascii(column)[1:-1][:_SHOWN],
                ascii(text[:_SHOWN]),
            )


class _UnixLines:
    """Ends lines by a line feed alone, of a writer that puts quotes around a carriage return as well as around that.

    It does so for the characters alone by which its own lines end, and an open one would end the line of a reader.
    """

    def __init__(self, stream: io.TextIOBase) -> None:
        self._stream = stream

    def write(self, line: str) -> int:
        return self._stream.write(line.removesuffix("\r\n") + "\n")


def is_formula(cell: Any) -> bool:
    """Whether a spreadsheet would compute a cell: a text with such a beginning that is no number."""
    if not isinstance(cell, str) or not cell.startswith(_BEGINNINGS):
        return False
    try:
        float(cell)
    except ValueError:
        return True
    return False
