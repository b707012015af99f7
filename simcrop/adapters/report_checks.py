"""What can be wrong with reports, labels and splits: seen in the tables, without opening a volume."""

import re
from collections.abc import Iterator, Mapping, Sequence

from simcrop.adapters.problems import Problem, problem
from simcrop.core.report import is_filler
from simcrop.core.study import Study

_WORD = re.compile(r"[^\W\d_]+")
_COMMON_WORDS = """
    a an and are as at be been bilateral both by for from has have in is it left no normal not of on or right seen that
    the there this to was were with within without
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_MIN_WORDS, _MIN_COMMON = 12, 0.08
"""In English reports about a third of the words are among these."""


def report_problems(studies: Sequence[Study], *, max_tokens: int) -> Iterator[Problem]:
    """Of each study's report, named by its first volume."""
    for study in studies:
        name, report = study.reconstructions[0], study.report
        findings, impression = report.findings.strip(), report.impression.strip()
        if not findings and not impression:
            yield problem(name, "text.missing_report", "has neither findings nor impression")
        elif not findings:
            yield problem(name, "text.empty_findings", "has an impression and no findings")
        if findings and is_filler(findings):
            yield problem(name, "text.filler", f"has the findings {findings!r}")
        words = _WORD.findall(f"{findings} {impression}")
        common = sum(word.casefold() in _COMMON for word in words) / max(1, len(words))
        if len(words) >= _MIN_WORDS and common < _MIN_COMMON:
            yield problem(name, "text.not_english", f"begins with {findings[:40]!r}", share_of_common_words=common)
        if len(findings.split()) > max_tokens:
            message = f"has findings of {len(findings.split())} words, above the limit of {max_tokens} tokens"
            yield problem(name, "text.too_long", message, words=len(findings.split()), max_tokens=max_tokens)


def set_problems(
    studies: Sequence[Study], label_names: Sequence[str], digests: Mapping[str, str | None]
) -> Iterator[Problem]:
    """Of splits, labels and repeats.

    Args:
        studies: all of the data set.
        label_names: its label columns.
        digests: volume -> hash of its voxels.
    """
    yield from _leaks(studies)
    yield from _repeats(studies, digests)
    yield from _labels(studies, label_names)


def _leaks(studies: Sequence[Study]) -> Iterator[Problem]:
    splits: dict[str, dict[str, str]] = {}
    for study in studies:
        if study.split is not None:
            splits.setdefault(study.patient_id, {}).setdefault(study.split, study.study_id)
    for patient, found in splits.items():
        if len(found) > 1:
            message = "is in two splits: " + ", ".join(f"{study} in {split}" for split, study in found.items())
            yield problem(patient, "set.split_leak", message, **found)


def _repeats(studies: Sequence[Study], digests: Mapping[str, str | None]) -> Iterator[Problem]:
    first: dict[str, tuple[str, str | None]] = {}
    for study in studies:
        for name in study.reconstructions:
            digest = digests.get(name)
            if digest is None:
                continue
            other, split = first.setdefault(digest, (name, study.split))
            if other != name:
                is_leak = split != study.split and None not in (split, study.split)
                code = "set.duplicate_across_splits" if is_leak else "set.duplicate"
                yield problem(name, code, f"holds the same voxels as {other}", other=other)


def _labels(studies: Sequence[Study], label_names: Sequence[str]) -> Iterator[Problem]:
    columns: dict[tuple[int, ...], str] = {}
    for name in label_names:
        values = tuple(study.labels.get(name, 0) for study in studies)
        if not any(values):
            yield problem(name, "set.class_without_positives", f"is 0 in all of {len(values)} studies")
            continue
        other = columns.setdefault(values, name)
        if other != name:
            message = f"is equal to the column {other!r} in all of {len(values)} studies"
            yield problem(name, "set.labels_identical", message, other=other)
