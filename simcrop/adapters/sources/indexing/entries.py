"""One file of a tree, told by its header alone, as plain values that are kept between runs."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simcrop.adapters.formats.dicom_headers import VOLUMES, DicomHeader, Kind, read_dicom_header
from simcrop.adapters.formats.opening import opened, suffix_of
from simcrop.adapters.problems.paths import data_files
from simcrop.adapters.sources.indexing.walking import Found
from simcrop.core.data.problems import BadFileError, Problem, problem

VERSION = 2
"""Goes up when a file would be described otherwise."""
_UNNEEDED = frozenset({"path", "kind", "what", "problem"})
"""Fields of a DICOM header that an entry has for itself."""
_TUPLES = ("image_type", "shape", "spacing_mm", "position", "orientation")


@dataclass(frozen=True, eq=False)
class Entry:
    """A file.

    Attributes:
        folder, name: where it lies, relative to the root.
        what: in words: a slice of CT, a localizer, no DICOM.
        problems: of the file by itself.
        header: of DICOM.
        volume: of a file that is a volume by itself: shape, affine, whether its numbers have one byte, and names of
            the files with its voxels.
        is_folder: whether it is a folder that cannot be looked into.
    """

    folder: str
    name: str
    what: str
    problems: tuple[Problem, ...] = ()
    header: DicomHeader | None = None
    volume: Mapping[str, Any] | None = None
    is_folder: bool = False

    @property
    def path(self) -> str:
        """Relative to the root."""
        return f"{self.folder}/{self.name}" if self.folder else self.name

    @property
    def series(self) -> str | None:
        """UID of the series that it is a slice, or all, of; None where it is no part of a DICOM volume."""
        return self.header.series if self.header is not None and self.header.kind in VOLUMES else None

    def as_text(self) -> str:
        """As JSON."""
        row: dict[str, Any] = {"what": self.what, "problems": [_plain(found) for found in self.problems]}
        if self.header is not None:
            fields = {field.name: getattr(self.header, field.name) for field in dataclasses.fields(self.header)}
            said = {name: value for name, value in fields.items() if name not in _UNNEEDED and value not in ("", None)}
            row["header"] = {"kind": self.header.kind.name, **said, "phases": dict(self.header.phases)}
        if self.volume is not None:
            row["volume"] = dict(self.volume)
        return json.dumps(row)


def entry_of(root: Path, found: Found, text: str) -> Entry:
    """The entry that `as_text` wrote, of a file that was found again."""
    row = json.loads(text)
    problems = tuple(Problem(*given) for given in row["problems"])
    header = None
    if "header" in row:
        kept: dict[str, Any] = row["header"]
        given: dict[str, Any] = {name: tuple(value) if name in _TUPLES else value for name, value in kept.items()}
        kind = Kind[given.pop("kind")]
        path = root / found.folder / found.name
        header = DicomHeader(path, kind, row["what"], problem=problems[0] if problems else None, **given)
    return Entry(found.folder, found.name, row["what"], problems, header, row.get("volume"), found.is_folder)


def read_entries(root: Path, files: Sequence[Found]) -> list[tuple[str, str | None]]:
    """What some files are, as `Entry.as_text` has it, each with the UID of its series. Whatever they hold is no error.

    Raises:
        DataError: one is DICOM, and pydicom is not installed.
    """
    entries = [read_entry(root, found) for found in files]
    return [(entry.as_text(), entry.series) for entry in entries]


def read_entry(root: Path, found: Found) -> Entry:
    """What a file is. Raises DataError where it is DICOM, and pydicom is not installed."""
    path = root / found.folder / found.name
    if found.reason:
        problems = () if found.problem is None else (found.problem,)
        return Entry(found.folder, found.name, found.reason, problems)
    if suffix_of(found.name):
        return _volume_entry(root, path, found)
    header = read_dicom_header(path, root)
    what = header.what
    if header.kind is Kind.NO_DICOM:
        what = "no scan, by what it holds"
    problems = () if header.problem is None else (header.problem,)
    return Entry(found.folder, found.name, what, problems, header)


def _volume_entry(root: Path, path: Path, found: Found) -> Entry:
    """A NIfTI, MetaImage or NRRD file by its header; its voxels are not read."""
    problems: list[Problem] = []
    volume: dict[str, Any] | None = None
    try:
        names = [each.name for each in data_files(path)]
        with opened(path, root=root, on_problem=problems.append) as stored:
            volume = {
                "shape": list(stored.shape),
                "affine": stored.affine.tolist(),
                "is_one_byte": np.dtype(stored.dtype).itemsize == 1,
                "data_files": names,
            }
    except BadFileError as bad:
        problems.append(bad.problem)
    except OSError as error:
        problems.append(problem(path, "container.unreadable", f"cannot be read ({error.strerror})"))
    what = "a volume" if volume is not None else "a volume that cannot be read"
    return Entry(found.folder, found.name, what, tuple(problems), volume=volume)


def _plain(found: Problem) -> list[Any]:
    return [found.file, found.code, found.message, dict(found.values), found.is_note]
