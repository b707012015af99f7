"""Folders that hold series of DICOM slices, found by what their files hold."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from simcrop.adapters.formats.dicom_headers import DicomHeader, Kind, read_dicom_header
from simcrop.adapters.formats.dicom_series import by_series, files_in
from simcrop.adapters.formats.opening import suffix_of, without_suffix
from simcrop.adapters.problems.paths import DETACHED, data_files
from simcrop.core.data.problems import BadFileError, OnProblem, problem

_VERDICTS = re.compile(r"checked_[0-9a-f]{16}\.jsonl")
_LOOKED_AT = 16
"""Files of a folder whose headers tell whether it holds one series: archives name slices by series, or at random."""


@dataclass(frozen=True, eq=False)
class SeriesFolder:
    """A folder with slices of CT.

    Attributes:
        path: of the folder.
        series: UIDs of its volumes, where it holds several; else empty.
    """

    path: Path
    series: tuple[str, ...] = ()

    def volumes(self, name: str) -> Iterator[tuple[str, str | None]]:
        """(Name, UID of the series) of each volume of the folder, which is called `name`; None where it holds one."""
        if not self.series:
            yield name, None
        yield from ((f"{name}#{uid}", uid) for uid in self.series)


def series_below(root: Path, on_problem: OnProblem, *, beside_volumes: bool = False) -> Iterator[SeriesFolder]:
    """Every folder in a tree that holds slices; links to folders are not followed.

    Args:
        root: the tree.
        on_problem: is told of files in the other folders, which are passed over, and of folders that cannot be read.
        beside_volumes: whether files named like volumes of another format, and what belongs to them, are at home there.

    Raises:
        DataError: a file is DICOM, and pydicom is not installed.
    """

    def unreadable(error: OSError) -> None:
        on_problem(problem(str(error.filename), "container.unreadable", f"cannot be read ({error.strerror})"))

    for folder, subfolders, names in os.walk(root, onerror=unreadable):
        if any(map(_VERDICTS.fullmatch, names)):  # what simcrop prepared is no data
            subfolders.clear()
            continue
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        found = look_into(Path(folder), root, on_problem, beside_volumes=beside_volumes)
        if found is not None:
            yield found


def look_into(
    folder: Path, root: Path | None, on_problem: OnProblem, *, beside_volumes: bool = False
) -> SeriesFolder | None:
    """The folder, where it holds slices of its own; arguments and errors are those of `series_below`."""
    try:
        files = files_in(folder)
    except BadFileError as bad:
        on_problem(bad.problem)
        return None
    if beside_volumes:
        at_home = _at_home(files)
        files = [path for path in files if path not in at_home]
    sample = files[:: max(1, len(files) // _LOOKED_AT)]
    headers = {path: read_dicom_header(path, root) for path in sample}
    uids = {header.series for header in headers.values() if _is_slice(header)}
    if len(uids) == 1:
        return SeriesFolder(folder)
    for path in files:
        if path not in headers:
            headers[path] = read_dicom_header(path, root)
    contents = by_series(headers[path] for path in files)
    if contents.series:
        volumes = contents.volumes
        return SeriesFolder(folder, tuple(each.uid for each in volumes) if len(volumes) > 1 else ())
    if contents.damaged:
        return SeriesFolder(folder)
    for header in contents.beside:
        on_problem(problem(header.path, "set.passed_over", f"is {header.what}", files=1))
    return None


def _is_slice(header: DicomHeader) -> bool:
    return header.kind in {Kind.SLICE, Kind.ENHANCED}


def _at_home(files: Sequence[Path]) -> set[Path]:
    """The files named like volumes of another format, and those that hold their voxels or are named after them."""
    volumes = [path for path in files if suffix_of(path.name)]
    headers = tuple(f"{without_suffix(path.name)}." for path in volumes if path.suffix.lower() in DETACHED)
    parts = (part for path in volumes for part in _data_files(path))
    return {*volumes, *parts, *(path for path in files if headers and path.name.startswith(headers))}


def _data_files(path: Path) -> tuple[Path, ...]:
    try:
        return data_files(path)
    except OSError:
        return ()
