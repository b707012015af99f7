"""Looks at every file of a data set and tells all that is wrong, at once; what it found is remembered for `train`."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simcrop.adapters.formats.nifti import twins
from simcrop.adapters.problems.verdicts import Verdict, Verdicts, source_stamp
from simcrop.adapters.sources.bare_folder import FolderSource
from simcrop.adapters.system.pool import Progress, run_all, usable_cores
from simcrop.core.data.problems import Problem, problem
from simcrop.core.data.split import nothing_held_out, split_by_patient
from simcrop.core.data.study import Study
from simcrop.core.errors import DataError
from simcrop.core.ports import DataSet
from simcrop.core.reports.checks import report_problems, sentences_per_report, set_problems

PASSED_OVER = "set.passed_over"


@dataclass(frozen=True)
class CheckResult:
    """Result of a check.

    Attributes:
        num_volumes: looked at, now or before.
        problems: by file, errors and notes.
        sentences_per_report: mean of the findings; None without reports.
        held_out: patients that a run holds out, and patients in all; None where there is no run.
        labels: name -> studies that have it, that have it not, and of which that is not known.
        exclusion_note: what `data.exclude` leaves out, in one line; empty without it.
    """

    num_volumes: int
    problems: Sequence[Problem] = field(default_factory=list[Problem])
    sentences_per_report: float | None = None
    held_out: tuple[int, int] | None = None
    labels: Mapping[str, tuple[int, int, int]] = field(default_factory=dict[str, tuple[int, int, int]])
    exclusion_note: str = ""

    @property
    def num_passed_over(self) -> int:
        """Files that are no part of a volume."""
        return sum(int(found.values.get("files", 1)) for found in self.problems if found.code == PASSED_OVER)

    @property
    def num_errors(self) -> int:
        """Problems that are no mere notes."""
        return sum(found.severity == "error" for found in self.problems)


def check_source(
    source: DataSet,
    found_before: Sequence[Problem],
    cache: Path,
    *,
    max_tokens: int,
    held_out_fraction: float | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CheckResult:
    """Check a data set: its volumes, reports, labels and splits.

    Args:
        source: the data set.
        found_before: when the data set was listed.
        cache: where verdicts are kept.
        max_tokens: of the text encoder.
        held_out_fraction: share of the patients that a run holds out; None where there is no run.
        workers: processes; all cores by default.
        progress: told of volumes done and in all.
    """
    studies = source.studies()
    names = [name for study in studies for name in study.reconstructions]
    verdicts = look_at(source, names, cache, workers=workers, progress=progress)
    problems = [*found_before, *_of_volumes(source, names, verdicts)]
    problems += report_problems(studies, max_tokens=max_tokens)
    problems += set_problems(studies, source.label_names, {name: verdicts[name].digest for name in names})
    problems += _unnamed(source, names)
    held_out = None
    if held_out_fraction is not None:
        train, kept = _divided(studies, held_out_fraction)
        held_out = len({study.patient_id for study in kept}), len({study.patient_id for study in studies})
        if train and not kept:
            problems.append(problem("the data set", "set.nothing_held_out", nothing_held_out(train, held_out_fraction)))
    labels = {name: _label_counts(studies, name) for name in source.label_names}
    return CheckResult(len(names), problems, sentences_per_report(studies), held_out, labels, source.exclusion_note)


def check_folder(
    root: Path, cache: Path, *, workers: int | None = None, progress: Progress | None = None
) -> CheckResult:
    """Check the volumes in a bare folder: containers, headers, contents and repeats."""
    problems: list[Problem] = []
    source = FolderSource(root, on_problem=problems.append)
    return check_source(source, problems, cache, max_tokens=0, workers=workers, progress=progress)


def look_at(
    source: DataSet, names: Sequence[str], cache: Path, *, workers: int | None = None, progress: Progress | None = None
) -> Mapping[str, Verdict]:
    """The verdict on each volume; files that were looked at before, and have not changed, are not opened."""
    known = Verdicts(cache, source)
    found: dict[str, Verdict] = {}
    for name in names:
        verdict = known.get(name)
        # What came to lie beside the file does not change its stamp.
        if verdict is not None and not twins(source.volume_file(name)):
            found[name] = verdict
    report = progress or (lambda done, total: None)
    report(len(found), len(names))
    missing = [name for name in names if name not in found]
    for name, verdict in run_all(_look, source, missing, workers or usable_cores()):
        known.add(name, verdict)
        found[name] = verdict
        report(len(found), len(names))
    return found


def _look(source: DataSet, name: str) -> Verdict:
    problems: list[Problem] = []
    stamp = source_stamp(source, name)
    digest = source.inspect(name, problems.append)
    return Verdict(stamp, digest, tuple(problems))


def _of_volumes(source: DataSet, names: Sequence[str], verdicts: Mapping[str, Verdict]) -> Iterator[Problem]:
    """The problems of all volumes. What lies beside volumes of one folder is passed over if each of them says so."""
    looked = (name for name in names if verdicts[name].digest or _passes_over(verdicts[name]))
    sharing = Counter(map(source.volume_file, looked))
    told: Counter[tuple[Path, str]] = Counter()
    for name in names:
        folder = source.volume_file(name)
        for found in verdicts[name].problems:
            if found.code != PASSED_OVER:
                yield found
                continue
            told[folder, found.file] += 1
            if told[folder, found.file] == sharing[folder]:
                yield found


def _passes_over(verdict: Verdict) -> bool:
    return any(found.code == PASSED_OVER for found in verdict.problems)


def _divided(studies: Sequence[Study], held_out_fraction: float) -> tuple[Sequence[Study], Sequence[Study]]:
    """Studies to train on, and those that a run holds out; a patient on both sides, which is told as such, is both."""
    try:
        return split_by_patient(studies, held_out_fraction)
    except DataError:
        return [], [study for study in studies if study.split == "validation"]


def _label_counts(studies: Sequence[Study], name: str) -> tuple[int, int, int]:
    known = [study.labels[name] for study in studies if name in study.labels]
    return sum(known), len(known) - sum(known), len(studies) - len(known)


def _unnamed(source: DataSet, names: Sequence[str]) -> Iterator[Problem]:
    named = {source.volume_file(name) for name in (*names, *source.excluded)}
    for path in source.files():
        if path not in named:
            yield problem(path, "set.file_without_row", "is named by no row of the tables")
