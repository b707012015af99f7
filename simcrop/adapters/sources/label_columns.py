"""The label columns of a table, chosen by their cells, with 0 or 1 for each cell that says so."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from simcrop.adapters.formats.tables import Row
from simcrop.core.data.cells import as_label, is_unsure, trimmed
from simcrop.core.data.problems import OnProblem, problem

_MOST_ODD = 0.1
"""Share of the cells of a label column, of those that are not blank, that may be no label."""
_SPOKEN_OF = 0.4
"""Share of labels above which a column that is none was perhaps meant as one."""
_SHOWN = 40


def read_labels(
    table: Path, rows: Sequence[tuple[int, Row]], columns: Sequence[str], on_problem: OnProblem
) -> Mapping[str, Mapping[int, int]]:
    """Label column -> line -> 0 or 1, where a cell says so. A column is a label if nearly all of its cells do.

    Args:
        table: for messages.
        rows: by line.
        columns: that may be labels.
        on_problem: is told, as notes, of cells that say something else, and of columns that were perhaps meant.
    """
    found: dict[str, Mapping[int, int]] = {}
    for column in columns:
        values, odd = _values({line: row[column] for line, row in rows})
        if values and _is_label(len(values), list(odd.values())):
            found[column] = values
            for line, cell in odd.items():
                message = f"line {line} has {_cut(cell)!r} as {column!r}, no yes or no; it is taken as unknown"
                on_problem(problem(table, "text.label_cell", message, column=column, line=line, cell=_cut(cell)))
        elif len(values) > _SPOKEN_OF * (len(values) + len(odd)):
            line, cell = next(iter(odd.items()))
            message = f"the column {column!r} is taken for no label: {len(odd)} of its {len(values) + len(odd)} values "
            message += f"are no yes or no, such as {_cut(cell)!r} on line {line}"
            on_problem(problem(table, "text.label_column", message, column=column, line=line))
    return found


def _values(cells: Mapping[int, str]) -> tuple[Mapping[int, int], Mapping[int, str]]:
    """What the cells say, and those that say something else; a dash is a no where other cells have a plus."""
    dash_is_no = any(trimmed(cell) == "+" for cell in cells.values())
    values = {line: as_label(cell, dash_is_no=dash_is_no) for line, cell in cells.items()}
    odd = {line: cells[line] for line, value in values.items() if value is None and not is_unsure(cells[line])}
    return {line: value for line, value in values.items() if value is not None}, odd


def _is_label(num_values: int, odd: Sequence[str]) -> bool:
    """One stray word is forgiven in a short table; a number beside 0 and 1 says that the column counts or grades."""
    is_stray = len(odd) == 1 and num_values >= 2 and not any(c.isdigit() for c in odd[0])
    return is_stray or len(odd) <= _MOST_ODD * (num_values + len(odd))


def _cut(cell: str) -> str:
    text = trimmed(cell)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
