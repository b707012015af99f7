"""The volumes that a configuration leaves out of a data set: named one by one, or by a list of volumes and studies.

A list names a volume or a study as the data set does, with or without suffix. A name may lack its folders, or have more
of them, as in CT-RATE's `no_chest_train.txt`, where that leaves no doubt which one is meant.
"""

from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from simcrop.adapters.formats.opening import without_suffix
from simcrop.adapters.formats.tables import SUFFIXES, read_rows
from simcrop.adapters.formats.text_encoding import find_encoding
from simcrop.core.data.cells import filled
from simcrop.core.data.problems import OnProblem, bad_file
from simcrop.core.data.study import Study
from simcrop.core.errors import ConfigError, one_line

_HEADS = ("VolumeName", "volume_name", "volume", "study_id", "study", "name", "scan")
"""Names of the column that is read, of a table; the first of them that it has."""
_SHOWN = 3


class ExcludedNames(Set[str]):
    """Names of volumes to leave out; of those on a list it remembers which ones a data set asked for.

    Args:
        names: of volumes.
        listed: names on a list, of volumes or studies.
        suffix: of volumes, which their names lack.
    """

    def __init__(self, names: Collection[str] = (), listed: Collection[str] = (), *, suffix: str = "") -> None:
        self._names = frozenset(name.removesuffix(suffix) for name in names)
        self._listed = {name.removesuffix(suffix): name for name in dict.fromkeys(listed)}
        self._met: dict[str, None] = {}

    @classmethod
    def of(cls, names: Collection[str], suffix: str) -> Self:
        """Names of a configuration, or of whoever makes a data set by hand, without the volumes' suffix."""
        if isinstance(names, cls):
            return cls(names._names, names.listed, suffix=suffix)
        return cls(names, suffix=suffix)

    @property
    def listed(self) -> Sequence[str]:
        """The names on the list, as they stand there."""
        return list(self._listed.values())

    @property
    def met(self) -> Sequence[str]:
        """Those of them that were asked for, as the data set has them."""
        return list(self._met)

    @property
    def not_met(self) -> Sequence[str]:
        """Those that nobody asked for, as they stand on the list."""
        return [name for short, name in self._listed.items() if short not in self._met]

    def __contains__(self, name: object) -> bool:
        if name in self._listed:
            self._met[str(name)] = None
            return True
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter({*self._names, *self._listed})

    def __len__(self) -> int:
        return len({*self._names, *self._listed})


@dataclass(frozen=True)
class Exclusion:
    """What a list came to.

    Attributes:
        studies: what is left of those that were given.
        volumes: that are left out, of those.
        unknown: names on the list that match nothing.
    """

    studies: Sequence[Study]
    volumes: Sequence[str]
    unknown: Sequence[str]


def exclude(studies: Sequence[Study], names: Sequence[str], path: Path) -> Exclusion:
    """Leave out what a list names, of studies that a data set has found.

    Args:
        studies: all that there are.
        names: on the list.
        path: of the list, for messages.

    Raises:
        ConfigError: without its folders a name is that of volumes of several studies.
    """
    whole = {study.study_id: study for study in studies}
    by_end: dict[str, list[tuple[str, Study]]] = {}
    for study in studies:
        for name in {study.study_id, *study.reconstructions}:
            by_end.setdefault(_parts(name)[-1], []).append((name, study))
    gone: dict[str, None] = {}
    unknown: list[str] = []
    for name in names:
        if name in whole:
            gone |= dict.fromkeys(whole[name].reconstructions)
            continue
        found = [(own, study) for own, study in by_end.get(_parts(name)[-1], ()) if _are_same(own, name)]
        several = sorted({study.study_id for _, study in found})
        if len(several) > 1:
            raise ConfigError(
                f"data.exclude: {path}: {name!r} may be of the study {several[0]} or {several[1]}; write it with its "
                "folder"
            )
        for own, study in found:
            gone |= dict.fromkeys(study.reconstructions if own == study.study_id else (own,))
        if not found:
            unknown.append(name)
    kept = [
        replace(study, reconstructions=tuple(name for name in study.reconstructions if name not in gone))
        for study in studies
    ]
    return Exclusion([study for study in kept if study.reconstructions], list(gone), unknown)


def said(path: Path, volumes: Sequence[str], unknown: Sequence[str], num_names: int) -> str:
    """What a list came to, in one line.

    Args:
        path: of the list.
        volumes: that are left out.
        unknown: names that match nothing.
        num_names: on the list.
    """
    noun = "volume" if len(volumes) == 1 else "volumes"
    line = f"data.exclude: {path} leaves out {len(volumes)} {noun}{_first(volumes)}"
    return f"{line}; {len(unknown)} of its {num_names} names match nothing here{_first(unknown)}" if unknown else line


def read_list(path: Path, on_problem: OnProblem) -> list[str]:
    """The names on a list: the lines of a text file, or a column of a CSV, a workbook or a Parquet file.

    Args:
        path: of the list. A table with several columns has one that is called volume, VolumeName, study_id, or as
            `_HEADS` has it.
        on_problem: is told of rows that cannot be read, and of an encoding that is not UTF-8.

    Raises:
        BadFileError: it cannot be read, holds no name, or has no column of names.
    """
    names = _column(path, on_problem) if path.suffix.lower() in SUFFIXES else _lines(path, on_problem)
    found = [name for name in map(filled, names) if name]
    if not found:
        raise bad_file(path, "text.table", "holds no name of a volume or study to leave out; write one a line")
    return list(dict.fromkeys(found))


def _column(path: Path, on_problem: OnProblem) -> list[str]:
    columns, rows = read_rows(path, [], on_problem, optional=_HEADS)
    head = next((name for name in _HEADS if name in columns), None)
    if head is not None:
        return [row[head] for _, row in rows]
    if len(columns) == 1:  # a list without a head
        return [columns[0], *(row[columns[0]] for _, row in rows)]
    shown = ", ".join(columns) or "(none)"
    message = f"has no column of names to leave out ({', '.join(_HEADS)}); its columns are {shown[:200]}"
    raise bad_file(path, "text.column", message)


def _lines(path: Path, on_problem: OnProblem) -> list[str]:
    try:
        text = path.read_text(encoding=find_encoding(path, on_problem))
    except (OSError, UnicodeError) as error:
        raise bad_file(
            path, "container.unreadable", f"cannot be read as a list of names ({one_line(error)})"
        ) from error
    return text.splitlines()


def _parts(name: str) -> Sequence[str]:
    return without_suffix(name.replace("\\", "/")).split("/")


def _are_same(one: str, other: str) -> bool:
    """Whether two names are one, but for folders in front of either."""
    shorter, longer = sorted((_parts(one), _parts(other)), key=len)
    return list(shorter) == list(longer[-len(shorter) :])


def _first(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f" ({', '.join(names[:_SHOWN])}{more})"
