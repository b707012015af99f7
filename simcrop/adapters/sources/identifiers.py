"""The identifiers of a table's column: what is blank, what is the same, and what a spreadsheet ruined."""

from collections.abc import Iterator
from pathlib import Path

from simcrop.core.data.cells import filled, is_ruined, same_form, same_name
from simcrop.core.data.problems import Problem, problem


class Identifiers:
    """The identifiers of one column, as rows come up with them.

    Args:
        table: for messages.
        column: its name.
        joins_spellings: whether those that differ in case, spaces or width alone are one.
    """

    def __init__(self, table: Path, column: str, *, joins_spellings: bool) -> None:
        self._table, self.column, self._joins = table, column, joins_spellings
        self._first: dict[str, tuple[str, int]] = {}
        self._spelled: dict[str, dict[str, int]] = {}
        self._blank: list[int] = []

    def of(self, line: int, cell: str) -> str:
        """The identifier in a cell, in the spelling that came first; empty where the cell is blank."""
        identifier = filled(cell)
        if not identifier:
            self._blank.append(line)
            return ""
        name, form = same_name(identifier), same_form(identifier)
        self._spelled.setdefault(name, {}).setdefault(form, line)
        return self._first.setdefault(name if self._joins else form, (identifier, line))[0]

    def problems(self) -> Iterator[Problem]:
        """Notes on all that came up."""
        if self._blank:
            what = "patient" if self.column == "patient_id" else "study"
            message = f"has no {self.column} in {len(self._blank)} rows (the first is line {self._blank[0]}): each is "
            message += f"taken for a {what} of its own"
            yield problem(self._table, "text.blank_id", message, column=self.column, rows=len(self._blank))
        for spellings in self._spelled.values():
            (first, line), *others = spellings.items()
            for other, other_line in others:
                message = f"has the {self.column} {other!r} on line {other_line} and {first!r} on line {line}; "
                message += "they are taken for one" if self._joins else "they stay two studies"
                lines = [line, other_line]
                yield problem(self._table, "text.same_id", message, column=self.column, ids=[first, other], lines=lines)
        yield from self._apart_by_zeros()
        for form, line in (item for spellings in self._spelled.values() for item in spellings.items()):
            if is_ruined(form):
                message = f"has the {self.column} {form!r} on line {line}, which a spreadsheet made of another one"
                yield problem(self._table, "text.ruined_id", message, column=self.column, line=line, id=form)

    def _apart_by_zeros(self) -> Iterator[Problem]:
        """Notes on numbers that differ in zeros in front alone: a spreadsheet dropped them, or there are two."""
        alike: dict[str, list[tuple[str, int]]] = {}
        for name, spellings in self._spelled.items():
            if name.isdecimal():
                alike.setdefault(name.lstrip("0"), []).append(next(iter(spellings.items())))
        for (first, line), *others in alike.values():
            for other, other_line in others:
                message = f"has the {self.column} {other!r} on line {other_line} and {first!r} on line {line}, which "
                message += "differ in zeros in front alone; they stay two"
                lines = [line, other_line]
                yield problem(self._table, "text.same_id", message, column=self.column, ids=[first, other], lines=lines)
