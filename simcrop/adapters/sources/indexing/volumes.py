"""The volumes of a tree and what is left out, folder by folder, from what is known of each file."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

from simcrop.adapters.formats.dicom_headers import DicomHeader, Kind
from simcrop.adapters.formats.dicom_series import Contents, Series, by_series
from simcrop.adapters.sources.indexing.dicom_rows import series_row
from simcrop.adapters.sources.indexing.entries import Entry, entry_of
from simcrop.adapters.sources.indexing.file_rows import StudyIs, file_rows
from simcrop.adapters.sources.indexing.rows import TableRow
from simcrop.adapters.sources.indexing.work_file import WorkFile
from simcrop.core.data.problems import Problem, problem

_MOST_NAMED = 3


@dataclass(frozen=True)
class LeftOut:
    """Something that no row of the table holds.

    Attributes:
        kind: file; folder, of which the files cannot be counted; volume; study; or report.
        name: path relative to the folder, or what else names it.
        reason: in words that many have alike.
        detail: what was found in this one.
        code: of the problem, where there is one.
        num_files: how many files it stands for.
        series: UID of the series that is meant, of a folder with slices.
    """

    kind: Literal["file", "folder", "volume", "study", "report"]
    name: str
    reason: str
    detail: str = ""
    code: str = ""
    num_files: int = 0
    series: str = ""


def volumes_of(work: WorkFile, root: Path, study_is: StudyIs | None) -> Iterator[TableRow | LeftOut]:
    """Every volume, and every other file with its reason, in the order of the folders.

    Args:
        work: what is known of the files.
        root: of the tree.
        study_is: what a study is where no header tells; None goes by the names of the files.
    """
    for folder in work.folders():
        entries = _entries(work, root, folder, None, *work.series_in(folder))
        contents = by_series(header for entry in entries if (header := _header(root, entry)) is not None)
        yield from map(_nameable, file_rows(root, folder, entries, study_is))
        yield from _left_out(contents, entries)
        for series in contents.series:
            here = _in_folder(work, root, folder, series, contents)
            if here is not None:
                yield _nameable(here)


def _entries(work: WorkFile, root: Path, folder: str, *series: str | None) -> list[Entry]:
    """What is known of the files of a folder that belong to some series, by name."""
    found = (each for uid in series for each in work.files(folder, uid))
    return sorted((entry_of(root, file, text) for file, text in found), key=lambda entry: os.fsencode(entry.name))


def _header(root: Path, entry: Entry) -> DicomHeader | None:
    """What the reader of a series will make of a file: to it a link out of the tree is damage."""
    outside = [found for found in entry.problems if found.code == "safety.outside"]
    if entry.header is None and outside:
        return DicomHeader(root / entry.path, Kind.DAMAGED, entry.what, problem=outside[0])
    return entry.header


def _left_out(contents: Contents, entries: Sequence[Entry]) -> Iterator[LeftOut]:
    """The files of a folder that belong to no volume."""
    used = {header.path.name for series in contents.series for header in series.headers}
    used |= {entry.name for entry in entries if entry.volume is not None}
    used |= {name for entry in entries if entry.volume is not None for name in entry.volume["data_files"]}
    judged = {header.path.name: header for header in (*contents.beside, *contents.damaged)}
    for entry in entries:
        if entry.name in used:
            continue
        header = judged.get(entry.name)
        what, told = entry.what, next(iter(entry.problems), None)
        if header is not None and header.kind is not Kind.NO_DICOM:
            what, told = header.what, header.problem or told
        detail, code = ("", "") if told is None else (told.message, told.code)
        kind = "folder" if entry.is_folder else "file"
        yield LeftOut(kind, entry.path, what, detail, code, num_files=int(not entry.is_folder))


def _in_folder(work: WorkFile, root: Path, folder: str, series: Series, contents: Contents) -> TableRow | None:
    """The row of a series, whole or what lies of it in this folder; None where another folder has its row."""
    damaged = [header.problem for header in contents.damaged if header.problem is not None]
    folders = work.folders_of(series.uid) if series.uid else [folder]
    is_copy = False
    if len(folders) > 1:
        parts = [entry for each in folders for entry in _entries(work, root, each, series.uid)]
        above = os.path.commonpath(folders) if all(folders) else ""
        if _are_copies(parts):
            is_copy = folder != folders[0]
            if is_copy:
                message = f"holds the series of {folders[0] or '.'} again"
                damaged.append(problem(root / folder, "set.duplicate", message))
        elif _is_read_below(work, root, above):
            return _whole(root, above, series, parts, damaged) if folder == folders[0] else None
        else:
            some = ", ".join(each or "." for each in folders[:_MOST_NAMED])
            message = f"holds a part of a series that lies in {len(folders)} folders: {some}"
            damaged.append(problem(root / folder, "container.incomplete", message, folders=len(folders)))
    row = series_row(root, folder, series, damaged)
    return replace(row, is_usable=False) if is_copy else row


def _whole(root: Path, folder: str, series: Series, parts: Sequence[Entry], damaged: Sequence[Problem]) -> TableRow:
    """The row of a series that lies in the folders below one."""
    headers: list[DicomHeader] = []
    for _, part in groupby(parts, key=lambda entry: entry.folder):
        # What lies across the others was left out folder by folder.
        alike = by_series(entry.header for entry in part if entry.header is not None).series
        headers += [header for each in alike if each.is_enhanced == series.is_enhanced for header in each.headers]
    return series_row(root, folder, Series(series.uid, tuple(headers)), damaged)


def _are_copies(parts: Sequence[Entry]) -> bool:
    """Whether a slice lies in two folders: these are copies, and no parts."""
    instances = {(entry.folder, entry.header.instance) for entry in parts if entry.header is not None}
    return len({instance for _, instance in instances}) < len(instances)


def _nameable(row: TableRow) -> TableRow:
    """A row as a table can hold it: what is no UTF-8 becomes an escape, and then the volume cannot be read by it."""
    parts = {name: getattr(row, name) for name in ("volume", "study_id", "patient_id")}
    plain = {name: text.encode("utf-8", "backslashreplace").decode() for name, text in parts.items()}
    if plain == parts:
        return row
    verdict = f"has a name that is not UTF-8, by which no table can call it: rename it; {row.verdict}"
    return replace(row, **plain, verdict=verdict, problems=f"container.unreadable {row.problems}", is_usable=False)


def _is_read_below(work: WorkFile, root: Path, folder: str) -> bool:
    """Whether whoever reads a folder looks into those below: it has nothing of a series itself."""
    headers = (_header(root, entry) for entry in _entries(work, root, folder, None))
    is_damaged = any(header is not None and header.kind is Kind.DAMAGED for header in headers)
    return not work.series_in(folder) and not is_damaged
