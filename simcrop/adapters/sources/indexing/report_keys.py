"""Signs that a report and a study belong together: an accession number, an identifier, a patient and a date."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from simcrop.adapters.sources.indexing.rows import TableRow
from simcrop.core.data.cells import filled, same_name
from simcrop.core.errors import ConfigError

IndexColumn = Literal["accession_number", "study_id", "patient_id", "study_date"]
_NAMES: Mapping[IndexColumn, Sequence[str]] = {
    "accession_number": ("accessionnumber", "accession", "accessionno", "accessionnr", "accno", "accnr", "acc"),
    "study_id": ("studyid", "studyinstanceuid", "studyuid"),
    "patient_id": ("patientid", "patid", "patient", "pid", "mrn"),
    "study_date": ("studydate", "date", "examdate", "scandate", "datum", "tarih", "fecha", "data"),
}
"""Column of the index -> what it is called elsewhere, without spaces, dashes and case."""
_YEAR_FIRST = re.compile(r"(\d{4})[-./]?(\d{2})[-./]?(\d{2})(?!\d)")
_YEAR_LAST = re.compile(r"(\d{1,2})([-./])(\d{1,2})\2(\d{4})(?!\d)")
_FORM = "name columns of the index, as in accession_number, accession_number=THEIRS, or patient_id,study_date"


@dataclass(frozen=True)
class Key:
    """What names a study.

    Attributes:
        exact: its parts, as they are compared.
        short: the same without zeros in front, which spreadsheets drop.
    """

    exact: tuple[str, ...]
    short: tuple[str, ...]


@dataclass(frozen=True)
class ReportKeys:
    """How the two tables are compared.

    Attributes:
        columns: of the reports -> of the index.
        day_first: whether 3/4/2021 is in April.
    """

    columns: Mapping[str, IndexColumn]
    day_first: bool = True

    def of_report(self, row: Mapping[str, str]) -> Key | None:
        """The key of a report; None where a part of it is blank."""
        return self._key([(column, row[theirs]) for theirs, column in self.columns.items()])

    def of_study(self, row: TableRow) -> Key | None:
        """The key of a study; None where a part of it is blank."""
        return self._key([(column, getattr(row, column)) for column in self.columns.values()])

    def _key(self, cells: Iterable[tuple[IndexColumn, str]]) -> Key | None:
        parts: list[str] = []
        for column, cell in cells:
            text = filled(cell)
            parts.append(_as_day(text, day_first=self.day_first) if column == "study_date" else same_name(text))
        if not all(parts):
            return None
        return Key(tuple(parts), tuple(part.lstrip("0") or "0" for part in parts))


def columns_to_compare(wanted: str, columns: Sequence[str]) -> Mapping[str, IndexColumn]:
    """Column of the reports -> column of the index.

    Args:
        wanted: columns with commas or + between them, each of them a name, or INDEX=THEIRS.
        columns: of the reports.

    Raises:
        ConfigError: a column is known to neither table.
    """
    found: dict[str, IndexColumn] = {}
    for part in re.split(r"[,+]", wanted):
        name, equals, theirs = (each.strip() for each in part.partition("="))
        column = _index_column(name)
        if column is None:
            raise ConfigError(f"--on {wanted}: {name!r} is no column by which studies are known; {_FORM}")
        given = theirs if equals else name
        same = [each for each in columns if _plain(each) == _plain(given)]
        alike = same or ([] if equals else [each for each in columns if _index_column(each) == column])
        if len(alike) != 1:
            number = "no column" if not alike else "several columns"
            listed = ", ".join(columns)[:200]
            raise ConfigError(f"--on {wanted}: the reports have {number} for {given!r}; their columns are {listed}")
        found[alike[0]] = column
    return found


def is_day_first(dates: Iterable[str]) -> bool:
    """Whether the dates of a column have the day in front of the month, where the year stands last.

    Raises:
        ConfigError: nothing in them tells.
    """
    unclear = ""
    for text in dates:
        parts = _YEAR_LAST.match(filled(text))
        if parts is None or int(parts[1]) == int(parts[3]):
            continue
        if parts[2] == "." or int(parts[1]) > 12:
            return True
        if int(parts[3]) > 12:
            return False
        unclear = unclear or text
    if unclear:
        raise ConfigError(f"--on study_date: {unclear!r} may have the day or the month first; write YYYY-MM-DD")
    return True


def _as_day(text: str, *, day_first: bool) -> str:
    """YYYYMMDD of a date, whatever time stands behind it; other texts as they are."""
    if (found := _YEAR_FIRST.match(text)) is not None:
        return "".join(found.groups())
    if (found := _YEAR_LAST.match(text)) is not None:
        first, _, second, year = found.groups()
        day, month = (first, second) if day_first else (second, first)
        return f"{year}{int(month):02}{int(day):02}"
    return text


def _index_column(name: str) -> IndexColumn | None:
    return next((column for column, names in _NAMES.items() if _plain(name) in names), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name)).casefold()
