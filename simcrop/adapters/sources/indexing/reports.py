"""Reports of a table find their studies; what finds none, or several, is told."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simcrop.adapters.formats.tables import Row, read_rows
from simcrop.adapters.sources.indexing.report_keys import Key, ReportKeys, columns_to_compare, is_day_first
from simcrop.adapters.sources.indexing.volumes import LeftOut
from simcrop.adapters.sources.indexing.work_file import WorkFile
from simcrop.core.data.cells import filled
from simcrop.core.data.problems import BadFileError, OnProblem
from simcrop.core.errors import ConfigError

_TEXTS = ("findings", "impression")
_MOST_NAMED = 4


@dataclass(frozen=True)
class ReportTable:
    """A table of reports.

    Attributes:
        path: of the table.
        on: by which columns it is compared with the index; see `columns_to_compare`.
        texts: columns of findings and impression, or of the findings alone.
    """

    path: Path
    on: str
    texts: Sequence[str] = _TEXTS


@dataclass(frozen=True)
class Joined:
    """How many reports found their studies.

    Attributes:
        reports: rows of the table.
        used: reports that a study got.
        repeated: reports that say the same as another one of their study.
        studies: studies in all.
    """

    reports: int
    used: int
    repeated: int
    studies: int


@dataclass
class _Matches:
    """The reports of one study: their lines, a hash of the first one's text, and whether another one says otherwise."""

    digest: bytes
    lines: list[int] = field(default_factory=list[int])
    differ: bool = False


def join_reports(
    work: WorkFile, table: ReportTable, on_left_out: Callable[[LeftOut], None], on_problem: OnProblem
) -> Joined:
    """Give each study its report.

    Args:
        work: has the studies, and gets the texts.
        table: of the reports.
        on_left_out: is told of reports without a study, or with several, and of studies without a report.
        on_problem: is told of rows that cannot be read.

    Raises:
        ConfigError: columns are not there.
        BadFileError: the table cannot be read.
    """
    texts = _text_columns(table)
    keys = _keys(table)
    required = (*keys.columns, *texts)
    studies = _Studies(work, keys)
    matches: dict[str, _Matches] = {}
    reports = 0
    for line, row in _rows(table, required, on_problem):
        reports += 1
        study = _study_of(line, row, keys, studies, texts, on_left_out)
        if study is not None:
            digest = hashlib.sha256("\0".join(_texts(row, texts)).encode("utf-8", "surrogatepass")).digest()
            match = matches.setdefault(study, _Matches(digest))
            match.lines.append(line)
            match.differ = match.differ or match.digest != digest
    studies_of = {line: study for study, match in matches.items() for line in match.lines}
    for line, row in _rows(table, required, lambda problem: None):
        study = studies_of.get(line)
        if study is not None and matches[study].differ:
            name = _name(line, row, keys)
            on_left_out(LeftOut("report", name, "one of several different reports of a study", study))
        elif study is not None and line == matches[study].lines[0]:
            work.add_texts(study, *_texts(row, texts))
    _tell_studies(studies, matches, on_left_out)
    used = sum(not match.differ for match in matches.values())
    repeated = sum(len(match.lines) - 1 for match in matches.values() if not match.differ)
    return Joined(reports, used, repeated, studies.count)


def check_reports(table: ReportTable) -> None:
    """Raise ConfigError or BadFileError where `join_reports` would for want of the table or its columns."""
    _text_columns(table)
    _keys(table)


class _Studies:
    """The studies of the index by their keys."""

    def __init__(self, work: WorkFile, keys: ReportKeys) -> None:
        self.exact: dict[tuple[str, ...], list[str]] = {}
        self.short: dict[tuple[str, ...], list[str]] = {}
        self.names: list[str] = []
        for study, rows in work.by_study():
            self.names.append(study)
            key = next((key for _, row in rows if (key := keys.of_study(row)) is not None), None)
            if key is not None:
                self.exact.setdefault(key.exact, []).append(study)
                self.short.setdefault(key.short, []).append(study)

    @property
    def count(self) -> int:
        return len(self.names)

    def of(self, key: Key) -> Sequence[str]:
        """Those of a key; where there is none, those of the same without zeros in front."""
        return self.exact.get(key.exact) or self.short.get(key.short, [])


def _study_of(
    line: int,
    row: Row,
    keys: ReportKeys,
    studies: _Studies,
    texts: Sequence[str],
    on_left_out: Callable[[LeftOut], None],
) -> str | None:
    """The one study of a report; None where there is none or several, which is told."""
    name = _name(line, row, keys)
    key = keys.of_report(row)
    found = () if key is None else studies.of(key)
    if not any(_texts(row, texts)):
        on_left_out(LeftOut("report", name, "a report without text"))
    elif key is None:
        on_left_out(LeftOut("report", name, f"a report without {' and '.join(keys.columns)}"))
    elif not found:
        on_left_out(LeftOut("report", name, "a report of which no study is in the folder"))
    elif len(found) > 1:
        some = ", ".join(found[:_MOST_NAMED])
        on_left_out(LeftOut("report", name, "a report that fits several studies", f"{len(found)}: {some}"))
    else:
        return found[0]
    return None


def _name(line: int, row: Row, keys: ReportKeys) -> str:
    return f"line {line}: " + ", ".join(row[column].strip() for column in keys.columns)


def _tell_studies(studies: _Studies, matches: Mapping[str, _Matches], on_left_out: Callable[[LeftOut], None]) -> None:
    for study in studies.names:
        match = matches.get(study)
        if match is None:
            on_left_out(LeftOut("study", study, "a study without a report"))
        elif match.differ:
            lines = ", ".join(map(str, match.lines[:_MOST_NAMED]))
            detail = f"{len(match.lines)}, on lines {lines}"
            on_left_out(LeftOut("study", study, "a study with several different reports", detail))


def _keys(table: ReportTable) -> ReportKeys:
    compared = columns_to_compare(table.on, _columns(table))
    dates = next((theirs for theirs, column in compared.items() if column == "study_date"), None)
    if dates is None:
        return ReportKeys(compared)
    _, rows = read_rows(table.path, (dates,), lambda problem: None)
    return ReportKeys(compared, is_day_first(row[dates] for _, row in rows))


def _columns(table: ReportTable) -> Sequence[str]:
    """Names of the columns: those of the row that names the texts, which may stand below a title; else of the first."""
    try:
        return read_rows(table.path, table.texts, lambda problem: None)[0]
    except BadFileError as bad:
        if bad.problem.code != "text.column":
            raise
        return read_rows(table.path, ())[0]


def _text_columns(table: ReportTable) -> Sequence[str]:
    columns = _columns(table)
    by_name = {column.strip().casefold(): column for column in columns}
    found = [by_name.get(name.strip().casefold()) for name in table.texts]
    missing = [name for name, column in zip(table.texts, found, strict=True) if column is None]
    if missing:
        listed = ", ".join(columns)[:200]
        raise ConfigError(
            f"{table.path}: has no column {missing[0]!r} for the texts; its columns are {listed}; "
            f"name those of findings and impression by --text-columns FINDINGS,IMPRESSION"
        )
    return [column for column in found if column is not None]


def _texts(row: Row, columns: Sequence[str]) -> tuple[str, str]:
    """Findings and impression."""
    findings, impression, *_ = *(filled(row[column]) for column in columns), ""
    return findings, impression


def _rows(table: ReportTable, required: Sequence[str], on_problem: OnProblem) -> Iterator[tuple[int, Row]]:
    return read_rows(table.path, required, on_problem)[1]
