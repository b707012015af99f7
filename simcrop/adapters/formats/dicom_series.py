"""The files of a folder by the series they belong to, and the one of its CT volumes that is meant."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from simcrop.adapters.formats.dicom_headers import VOLUMES, DicomHeader, Kind, read_dicom_header
from simcrop.adapters.problems.content import MIN_SLICES
from simcrop.core.data.cells import same_name
from simcrop.core.data.problems import BadFileError, Problem, bad_file, problem

_ACROSS = 0.5
"""Cosine between the normals of two slices: below it, one lies across the other as a localizer does."""
_MOST_NAMED = 8
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, eq=False)
class Series:
    """The files of one series of CT.

    Attributes:
        uid: its SeriesInstanceUID; empty where the files have none.
        headers: of its slices, or of its files with many frames, by name.
    """

    uid: str
    headers: tuple[DicomHeader, ...]

    @property
    def first(self) -> DicomHeader:
        """A header that speaks for all."""
        return self.headers[0]

    @property
    def is_enhanced(self) -> bool:
        """Whether a file holds many frames."""
        return self.first.kind is Kind.ENHANCED

    @cached_property
    def num_slices(self) -> int:
        """Places in the patient at which it has a slice."""
        if self.is_enhanced:
            frames = Counter[tuple[str, int]]()
            for number, header in enumerate(self.headers):
                frames[header.concatenation, 0 if header.concatenation else number] += header.num_frames
            return max(frames.values())
        return len({tuple(round(mm, 2) for mm in each.position) for each in self.headers if each.position is not None})

    def __str__(self) -> str:
        number = "" if self.first.series_number is None else f"number {self.first.series_number}, "
        return f"{self.first.description or 'no description'} ({number}{self.num_slices} slices, {self.uid})"

    def answers_to(self, wanted: str) -> bool:
        """Whether a UID, a number or a description names this series."""
        number = self.first.series_number
        if wanted == self.uid or (number is not None and wanted.isdecimal() and int(wanted) == number):
            return True
        return bool(self.first.description) and _plain(wanted) == _plain(self.first.description)


@dataclass(frozen=True, eq=False)
class Contents:
    """The files of a folder.

    Attributes:
        series: of CT, by their numbers.
        beside: what is no part of them: other objects, localizers, and what is no DICOM.
        damaged: what is DICOM, or named like the slices, and cannot be read.
    """

    series: tuple[Series, ...]
    beside: tuple[DicomHeader, ...]
    damaged: tuple[DicomHeader, ...]

    @property
    def volumes(self) -> tuple[Series, ...]:
        """The series with enough slices for a chest; where none has, those with the most."""
        enough = min(MIN_SLICES, max((each.num_slices for each in self.series), default=0))
        return tuple(each for each in self.series if each.num_slices >= enough)


def contents_of(folder: Path, root: Path | None = None) -> Contents:
    """The files of a folder; those of its subfolders, where it has no slice of its own.

    Args:
        folder: of one or more series.
        root: of the data set, which links must not leave.

    Raises:
        DataError: pydicom is not installed.
        BadFileError: the folder cannot be looked into.
    """
    own = by_series(read_dicom_header(path, root) for path in files_in(folder))
    if own.series or own.damaged:
        return own
    return by_series(read_dicom_header(path, root) for path in _files_below(folder))


def files_in(folder: Path) -> list[Path]:
    """The files of a folder by name, but for hidden ones. Raises BadFileError where it cannot be looked into."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and not _is_folder(entry)]
    except OSError as error:
        raise bad_file(folder, "container.unreadable", f"cannot be read ({error.strerror})") from error
    return [folder / name for name in sorted(names)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one; a link that leads nowhere is a file that cannot be read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _files_below(folder: Path) -> Iterator[Path]:
    for below, subfolders, _ in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from files_in(Path(below))


def by_series(headers: Iterable[DicomHeader]) -> Contents:
    """Files grouped by their series; what lies across the other slices of its series is a localizer too."""
    groups: dict[tuple[str, bool], list[DicomHeader]] = {}
    beside: list[DicomHeader] = []
    damaged: list[DicomHeader] = []
    for header in headers:
        if header.kind in VOLUMES:
            groups.setdefault((header.series, header.kind is Kind.ENHANCED), []).append(header)
        elif header.kind is Kind.DAMAGED:
            damaged.append(header)
        else:
            beside.append(header)
    series: list[Series] = []
    for (uid, _), group in groups.items():
        along, across = _along_and_across(group)
        beside += across
        series.append(Series(uid, tuple(along)))
    if len(series) > 1:
        damaged += [_without_uid(header) for each in series if not each.uid for header in each.headers]
        series = [each for each in series if each.uid]
    named_alike, beside = _named_alike(beside, series)
    series.sort(key=lambda each: (each.first.series_number is None, each.first.series_number or 0, each.uid))
    return Contents(tuple(series), tuple(beside), (*damaged, *named_alike))


def chosen(folder: Path, contents: Contents, wanted: str | None) -> Series:
    """The series that is meant: the one that is named, or the folder's one CT volume.

    Args:
        folder: for messages.
        contents: of the folder.
        wanted: UID, number or description of a series; None where nothing is said.

    Raises:
        BadFileError: there is none, or there are several.
    """
    found = contents.volumes if wanted is None else _answering(contents, wanted)
    if len(found) == 1:
        return found[0]
    values = {"series": [each.uid for each in contents.series], "slices": [each.num_slices for each in contents.series]}
    if found:
        which = "CT volumes" if wanted is None else f"series called {wanted!r}"
        raise bad_file(folder, "container.several", f"holds {len(found)} {which}: {_listed(found)}", **values)
    if wanted is not None and contents.series:
        message = f"holds no series {wanted!r}; it holds {_listed(contents.series)}"
        raise bad_file(folder, "container.no_series", message, **values)
    if contents.damaged:
        raise damage_in(contents)
    what = "; ".join(f"{each.path.name}: {each.what}" for each in contents.beside[:_MOST_NAMED])
    raise bad_file(folder, "container.no_series", f"holds no slice of CT ({what or 'it is empty'})")


def _answering(contents: Contents, wanted: str) -> tuple[Series, ...]:
    """The series of that name; where there is none, those of the number that a spreadsheet made a decimal of."""
    found = tuple(each for each in contents.series if each.answers_to(wanted))
    return found or tuple(each for each in contents.series if each.answers_to(same_name(wanted)))


def damage_in(contents: Contents) -> BadFileError:
    """The error of a folder with files that may be slices and cannot be read: which series they are of is unknown."""
    found = contents.damaged[0].problem
    assert found is not None
    return BadFileError(found)


def passed_over(folder: Path, contents: Contents, series: Series) -> Iterator[Problem]:
    """A note on each file of the folder that is no part of the series, and on each other series.

    Args:
        folder: that was named.
        contents: of it.
        series: that is read.
    """
    for header in contents.beside:
        yield problem(header.path, "set.passed_over", f"is {header.what}", files=1)
    for other in contents.series:
        if other is not series:
            message = f"is another series: {other}"
            yield problem(f"{folder}#{other.uid}", "set.passed_over", message, files=len(other.headers))


def _listed(series: Sequence[Series]) -> str:
    more = f", and {len(series) - _MOST_NAMED} more" if len(series) > _MOST_NAMED else ""
    return "; ".join(map(str, series[:_MOST_NAMED])) + more


def _along_and_across(group: Sequence[DicomHeader]) -> tuple[list[DicomHeader], list[DicomHeader]]:
    """The slices that lie as most do, and the few that lie across them, which are called localizers."""
    normals = [header.normal for header in group]
    known = [normal for normal in normals if normal is not None]
    if len(known) < 3:
        return list(group), []
    directions = Counter(tuple(float(part) for part in np.abs(normal).round(2)) for normal in known)
    usual = np.array(directions.most_common(1)[0][0])
    across = [
        header
        for header, normal in zip(group, normals, strict=True)
        if normal is not None and float(np.abs(normal) @ usual) < _ACROSS
    ]
    if 2 * len(across) >= len(group):
        return list(group), []
    left = set(map(id, across))
    what = f"{Kind.LOCALIZER}, by how it lies"
    turned = [replace(header, kind=Kind.LOCALIZER, what=what) for header in across]
    return [header for header in group if id(header) not in left], turned


def _named_alike(
    beside: Sequence[DicomHeader], series: Sequence[Series]
) -> tuple[list[DicomHeader], list[DicomHeader]]:
    """What is no DICOM, but named like the slices beside it, so that it may have been one; and the rest."""
    patterns = {_pattern(header.path) for each in series for header in each.headers}
    lost: list[DicomHeader] = []
    rest: list[DicomHeader] = []
    for header in beside:
        if header.kind is not Kind.NO_DICOM or _pattern(header.path) not in patterns:
            rest.append(header)
            continue
        code, message = "container.format", "is no DICOM file"
        if header.problem is not None:
            code, message = header.problem.code, header.problem.message
        found = problem(header.path, code, f"{message}, and is named like the slices beside it")
        lost.append(replace(header, kind=Kind.DAMAGED, what=Kind.DAMAGED, problem=found))
    return lost, rest


def _without_uid(header: DicomHeader) -> DicomHeader:
    """A slice among those of several series, of which nobody knows to which it belongs."""
    found = problem(header.path, "header.invalid", "has no SeriesInstanceUID", element="SeriesInstanceUID")
    return replace(header, kind=Kind.DAMAGED, what=Kind.DAMAGED, problem=found)


def _pattern(path: Path) -> tuple[Path, str]:
    """A file's name without its numbers, and where it lies."""
    return path.parent, _DIGITS.sub("0", path.name)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
