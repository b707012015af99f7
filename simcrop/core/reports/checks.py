"""Check reports, labels and splits by the tables alone, without opening a volume."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from simcrop.core.data.problems import Problem, problem
from simcrop.core.data.study import Study
from simcrop.core.reports.fillers import is_filler
from simcrop.core.reports.garbled import garbled_word
from simcrop.core.reports.markup import without_markup
from simcrop.core.reports.script import WORD, length
from simcrop.core.reports.text import sentences_of

_COMMON_WORDS = """
    a an and are as at be been bilateral both by for from has have in is it left no normal not of on or right seen that
    the there this to was were with within without
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_FOREIGN_WORDS = """
    aos au com con das de del dem den der des di du e el em en est está estão et eine há im ist keine la le les los mit
    na nella não nicht o os se sem sin sind sol sont sur sağ tem un una und une uma ve von y zu zum é
"""
_FOREIGN = frozenset(_FOREIGN_WORDS.split())
"""Of those who also write "a", "as", "no", "in" or "normal"."""
_MIN_WORDS, _MIN_COMMON = 12, 0.08
"""In English reports about a third of the words are among the common ones."""
_MIN_LETTERS, _MAX_FOREIGN_LETTERS = 20, 0.5
"""Letters tell scripts that put no space between words."""
_COUNTED = 1024
"""Studies of a large data set whose sentences are counted."""
_LONG_WORDS, _LONG_LETTERS = 25, 40
"""A sentence of more words, or letters of a script without spaces, is likely to be several that were not told apart."""
_FEW = 30
"""Of fewer studies, some label is nobody's, and columns of rare labels are equal, by chance: that is but a note."""


def report_problems(studies: Sequence[Study], *, max_tokens: int) -> Iterator[Problem]:
    """Of each study's report, named by its first volume; nothing where the data set has no reports at all."""
    if not any(map(has_report, studies)):
        return
    for study in studies:
        name, report = study.reconstructions[0], study.report
        findings, impression = report.findings.strip(), report.impression.strip()
        yield from unusable(study)
        if findings and is_filler(findings):
            yield problem(name, "text.filler", f"has the findings {findings!r}")
        if word := garbled_word(f"{without_markup(findings)} {without_markup(impression)}"):
            yield problem(name, "text.garbled", f"holds {word!r}, in which letters were lost or exchanged", word=word)
        if not _looks_english(f"{findings} {impression}"):
            yield problem(name, "text.not_english", f"begins with {(findings or impression)[:40]!r}")
        size = length(findings)
        if size.words + size.letters > max_tokens:
            message = f"has findings of {size}, above the limit of {max_tokens} tokens"
            yield problem(name, "text.too_long", message, words=size.words, letters=size.letters, max_tokens=max_tokens)
        if (size.words > _LONG_WORDS or size.letters > _LONG_LETTERS) and len(sentences_of(findings)) == 1:
            message = f"has findings of {size} that are one sentence, {findings[:40]!r}"
            yield problem(name, "text.one_sentence", message, words=size.words, letters=size.letters)


def _looks_english(text: str) -> bool:
    """Judged by its commonest words and by its letters, in capitals or not; short texts pass."""
    words = [word for word in WORD.findall(text.casefold()) if word[0].isalpha()]
    letters = "".join(words)
    if len(letters) >= _MIN_LETTERS and sum(not c.isascii() for c in letters) > _MAX_FOREIGN_LETTERS * len(letters):
        return False
    common, foreign = (sum(word in known for word in words) for known in (_COMMON, _FOREIGN))
    return len(words) < _MIN_WORDS or (common >= _MIN_COMMON * len(words) and common > foreign)


def sentences_per_report(studies: Sequence[Study]) -> float | None:
    """Mean number of sentences of the findings, of those studies that have some; None where none has.

    Of many studies an even share is read, which takes less than a second.
    """
    with_findings = [study for study in studies if study.report.findings.strip()]
    step = max(1, -(-len(with_findings) // _COUNTED))
    counts = [len(sentences_of(study.report.findings)) for study in with_findings[::step]]
    return sum(counts) / len(counts) if counts else None


def has_report(study: Study) -> bool:
    """Whether a study has any text."""
    return bool(study.report.findings.strip() or study.report.impression.strip())


def unusable(study: Study) -> Iterator[Problem]:
    """Problems for which nothing can be learned from a study's report, named by its first volume."""
    name, report = study.reconstructions[0], study.report
    if is_filler(report.findings) and is_filler(report.impression):
        yield problem(name, "text.missing_report", "has neither findings nor impression")
    elif not report.findings.strip():
        yield problem(name, "text.empty_findings", "has an impression and no findings")


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
    yield from repeats(studies, digests)
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


def repeats(studies: Sequence[Study], digests: Mapping[str, str | None]) -> Iterator[Problem]:
    """Volumes that hold the voxels of another, named by the one."""
    seen: dict[str, dict[str | None, str]] = {}
    for study in studies:
        for name in study.reconstructions:
            digest = digests.get(name)
            if digest is None:
                continue
            others = seen.setdefault(digest, {})
            across = [other for split, other in others.items() if None not in (split, study.split)]
            if study.split in others or (others and not across):
                other = others.get(study.split, next(iter(others.values())))
                yield problem(name, "set.duplicate", f"holds the same voxels as {other}", other=other)
            elif across:
                message = f"holds the same voxels as {across[0]}"
                yield problem(name, "set.duplicate_across_splits", message, other=across[0])
            others.setdefault(study.split, name)


def _labels(studies: Sequence[Study], label_names: Sequence[str]) -> Iterator[Problem]:
    columns: dict[tuple[int | None, ...], str] = {}
    for name in label_names:
        values = tuple(study.labels.get(name) for study in studies)
        if not any(values):
            num_known = sum(value is not None for value in values)
            found = problem(name, "set.class_without_positives", f"is 0 in all of {num_known} studies")
            yield replace(found, is_note=num_known < _FEW)
            continue
        other = columns.setdefault(values, name)
        if other != name:
            message = f"is equal to the column {other!r} in all of {len(values)} studies"
            found = problem(name, "set.labels_identical", message, other=other)
            yield replace(found, is_note=len(values) < _FEW)
