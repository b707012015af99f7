"""Looks at every file of a data set and tells all that is wrong, at once; what it found is remembered for `train`."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Protocol

from simcrop.adapters.nifti import inspect_volume, twins
from simcrop.adapters.pool import run_all
from simcrop.adapters.prepared import Progress
from simcrop.adapters.preparing import source_stamp
from simcrop.adapters.problems import BadFileError, Complain, Problem, problem
from simcrop.adapters.report_checks import report_problems, set_problems
from simcrop.adapters.safety import refuse_link_out
from simcrop.adapters.verdicts import Verdict, Verdicts
from simcrop.core.ports import StudySource
from simcrop.core.study import Report, Study

_NO_REPORT = Report("", "")
_SUFFIXES = (".nii", ".nii.gz")
_MOST_LABELS = 31
"""A file that holds no more than this many whole numbers is a mask rather than a picture."""


class CheckedSource(StudySource, Protocol):
    """A data set that can be checked."""

    def inspect(self, reconstruction: str, complain: Complain) -> str | None:
        """Tell all that is wrong with a volume's file, holding little of it; a hash of its voxels, or None."""
        ...

    def files(self) -> Iterator[Path]:
        """Every volume on disk, whether a row names it or not."""
        ...


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        num_volumes: looked at, now or before.
        problems: by file, errors and notes.
    """

    num_volumes: int
    problems: Sequence[Problem] = field(default_factory=list[Problem])

    @property
    def num_errors(self) -> int:
        """Problems that are no mere notes."""
        return sum(found.severity == "error" for found in self.problems)


class FolderSource:
    """The volumes in a bare folder: NIfTI files, of which nothing is known but what is in them.

    Args:
        root: looked through with all its folders; links out of it are not followed.
    """

    label_names: tuple[str, ...] = ()

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.identity = f"folder {self._root}"

    def names(self, complain: Complain) -> list[str]:
        """Paths within the folder; tells of folders that cannot be read, and of links to folders outside."""

        def unreadable(error: OSError) -> None:
            complain(problem(str(error.filename), "container.unreadable", f"cannot be read ({error.strerror})"))

        names: list[str] = []
        for folder, folders, files in os.walk(self._root, onerror=unreadable):
            for path in (Path(folder, name) for name in folders):
                try:
                    refuse_link_out(self._root, path)
                except BadFileError as bad:
                    complain(bad.problem)
            names += [str(Path(folder, name).relative_to(self._root)) for name in files if name.endswith(_SUFFIXES)]
        return sorted(names)

    def volume_file(self, reconstruction: str) -> PurePath:
        """The file of that name."""
        return self._root / reconstruction

    def inspect(self, reconstruction: str, complain: Complain) -> str | None:
        """As of any source; a file of few whole numbers is taken for a mask."""
        return inspect_volume(self._root / reconstruction, _mask_as_note(complain), root=self._root)


def check_source(
    source: CheckedSource,
    told: Sequence[Problem],
    cache: Path,
    *,
    max_tokens: int,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CheckResult:
    """Check a data set: its volumes, reports, labels and splits.

    Args:
        source: the data set.
        told: what it complained of when its tables were read.
        cache: where verdicts are kept.
        max_tokens: of the text encoder.
        workers: processes; all cores by default.
        progress: told of volumes done and in all.
    """
    studies = source.studies()
    names = [name for study in studies for name in study.reconstructions]
    verdicts = look_at(source, names, cache, workers=workers, progress=progress)
    problems = [*told, *(found for name in names for found in verdicts[name].problems)]
    problems += report_problems(studies, max_tokens=max_tokens)
    problems += set_problems(studies, source.label_names, {name: verdicts[name].digest for name in names})
    problems += _unnamed(source, names)
    return CheckResult(len(names), problems)


def check_folder(
    root: Path, cache: Path, *, workers: int | None = None, progress: Progress | None = None
) -> CheckResult:
    """Check the volumes in a bare folder: containers, headers, contents and repeats."""
    source = FolderSource(root)
    problems: list[Problem] = []
    names = source.names(problems.append)
    if not names:
        problems.append(problem(root, "set.no_studies", "holds no .nii or .nii.gz file"))
    verdicts = look_at(source, names, cache, workers=workers, progress=progress)
    problems += [found for name in names for found in verdicts[name].problems]
    alone = [Study(name, name, _NO_REPORT, (name,)) for name in names]
    problems += set_problems(alone, (), {name: verdicts[name].digest for name in names})
    return CheckResult(len(names), problems)


def look_at(
    source: Any, names: Sequence[str], cache: Path, *, workers: int | None = None, progress: Progress | None = None
) -> Mapping[str, Verdict]:
    """The verdict on each volume; files that were looked at before, and have not changed, are not opened."""
    known = Verdicts(cache, source.identity)
    found: dict[str, Verdict] = {}
    for name in names:
        verdict = known.get(name, source_stamp(source, name))
        # What came to lie beside the file does not change its stamp.
        if verdict is not None and not twins(Path(source.volume_file(name))):
            found[name] = verdict
    report = progress or (lambda done, total: None)
    report(len(found), len(names))
    missing = [name for name in names if name not in found]
    for name, verdict in run_all(_look, source, missing, workers or os.cpu_count() or 1):
        known.add(name, verdict)
        found[name] = verdict
        report(len(found), len(names))
    return found


def _look(source: Any, name: str) -> Verdict:
    problems: list[Problem] = []
    stamp = source_stamp(source, name)
    digest = source.inspect(name, problems.append)
    return Verdict(stamp, digest, tuple(problems))


def _mask_as_note(complain: Complain) -> Complain:
    def told(found: Problem) -> None:
        values = found.values
        if found.code == "content.eight_bit" and values["is_whole"] and values["maximum"] <= _MOST_LABELS:
            message = f"holds whole numbers up to {values['maximum']:g}: a mask, it seems"
            found = problem(found.file, "content.mask", message, **values)
        complain(found)

    return told


def _unnamed(source: CheckedSource, names: Sequence[str]) -> Iterator[Problem]:
    named = {Path(source.volume_file(name)) for name in names}
    for path in source.files():
        if path not in named:
            yield problem(path, "set.file_without_row", "is named by no row of the tables")
