"""Tables alone show what is wrong with reports, labels and splits."""

from collections.abc import Callable

import pytest
from support.report_sentences import LANGUAGES, sentences

from simcrop.core.data.problems import Problem
from simcrop.core.data.study import Report, Study
from simcrop.core.reports.checks import (
    has_report,
    repeats,
    report_problems,
    sentences_per_report,
    set_problems,
    unusable,
)

FINDINGS = "The trachea is open. A nodule of 9.5 mm is seen in the left lung. There is no pleural effusion."


def study(
    name: str,
    findings: str = FINDINGS,
    impression: str = "",
    split: str | None = None,
    patient: str = "",
    **labels: int,
) -> Study:
    return Study(name, patient or name, Report(findings, impression), (f"{name}_1", f"{name}_2"), split, labels)


def codes(*studies: Study, max_tokens: int = 64) -> list[tuple[str, str]]:
    return [(found.file, found.code) for found in report_problems(studies, max_tokens=max_tokens)]


@pytest.mark.parametrize(
    ("findings", "impression", "code"),
    [
        ("", "", "text.missing_report"),
        (" ", "Normal.", "text.empty_findings"),
        ("Not given.", "A nodule.", "text.filler"),
        ("Lungenrundherd im linken Oberlappen, kein Erguss. " * 3, "", "text.not_english"),
        ("The lung is clear and there is no nodule. " * 10, "", "text.too_long"),
    ],
)
def test_a_report_is_judged_and_named_by_the_studys_first_volume(findings: str, impression: str, code: str) -> None:
    assert codes(study("good"), study("bad", findings, impression)) == [("bad_1", code)]


def test_a_data_set_without_any_report_has_nothing_wrong_with_them() -> None:
    assert codes(study("a", ""), study("b", "")) == []
    assert not has_report(study("a", " "))
    assert has_report(study("a", "", "Normal."))


def test_nothing_is_learned_from_a_report_without_findings() -> None:
    assert [found.code for found in unusable(study("a", "Not given.", "-"))] == ["text.missing_report"]
    assert list(unusable(study("a"))) == []


def in_set(*studies: Study, labels: tuple[str, ...] = (), **digests: str | None) -> list[Problem]:
    return list(set_problems(studies, labels, digests))


def test_a_patient_on_both_sides_is_a_leak() -> None:
    studies = study("a", split="train", patient="p"), study("b", split="validation", patient="p"), study("c")
    (found,) = in_set(*studies)
    assert (found.file, found.code, found.values) == ("p", "set.split_leak", {"train": "a", "validation": "b"})


def test_the_same_voxels_are_noted_on_one_side_and_refused_across() -> None:
    studies = study("a", split="train"), study("b", split="train"), study("c", split="validation")
    found = repeats(studies, {"a_1": "x", "b_1": "x", "c_1": "x", "c_2": None, "a_2": None})
    assert [(each.file, each.code) for each in found] == [
        ("b_1", "set.duplicate"),
        ("c_1", "set.duplicate_across_splits"),
    ]


def test_labels_that_nobody_has_and_columns_that_are_equal_are_named() -> None:
    studies = study("a", mass=1, nodule=1, cyst=0), study("b", mass=0, nodule=0, cyst=0), study("c", cyst=0)
    found = in_set(*studies, labels=("mass", "nodule", "cyst"))
    assert [(each.file, each.code) for each in found] == [
        ("nodule", "set.labels_identical"),
        ("cyst", "set.class_without_positives"),
    ]


@pytest.mark.parametrize(("number", "severity"), [(29, "note"), (30, "error")])
def test_in_few_studies_chance_does_that(number: int, severity: str) -> None:
    studies = [study(f"s{index}", mass=index % 2, nodule=index % 2, cyst=0) for index in range(number)]
    found = in_set(*studies, labels=("mass", "nodule", "cyst"))
    assert [each.severity for each in found] == [severity, severity]
    assert found[0].as_row()["severity"] == severity


@pytest.mark.parametrize(
    ("findings", "size", "values"),
    [
        ("lungs clear, " * 13, "26 words", (26, 0)),
        ("clear " * 25, None, None),
        ("双肺清晰，" * 10 + "无。", "41 letters", (0, 41)),
        ("双肺清晰，" * 10, None, None),
        ("lungs clear, " * 13 + "\n\nno stone", None, None),
    ],
)
def test_long_findings_of_one_sentence_are_noted(
    findings: str, size: str | None, values: tuple[int, int] | None
) -> None:
    found = [
        each for each in report_problems([study("a", findings)], max_tokens=64) if each.code == "text.one_sentence"
    ]
    if size is None:
        assert found == []
        return
    (note,) = found
    assert note.severity == "note"
    assert note.message == f"has findings of {size} that are one sentence, {findings[:40]!r}"
    assert (note.values["words"], note.values["letters"]) == values


def test_letters_of_scripts_without_spaces_count_as_tokens() -> None:
    findings = "双肺清晰。" * 20
    assert "text.too_long" in [code for _, code in codes(study("a", findings))]
    assert "text.too_long" not in [code for _, code in codes(study("a", findings[:80]))]


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_english_is_told_in_small_letters_and_in_capitals(change: Callable[[str], str]) -> None:
    assert codes(study("a", change(FINDINGS))) == []


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "English"])
def test_other_languages_are_told_from_english_in_small_letters_and_in_capitals(language: str) -> None:
    for findings in (" ".join(sentences(language)), " ".join(sentences(language)).upper()):
        assert codes(study("a", findings), max_tokens=10_000) == [("a_1", "text.not_english")]


def test_sentences_are_counted_where_there_are_findings() -> None:
    assert (
        sentences_per_report([study("a"), study("b", "右肺清晰。心脏正常。", "Normal."), study("c", "", "Normal.")])
        == 2.5
    )
    assert sentences_per_report([study("a", "", "Normal.")]) is None
    assert sentences_per_report([study(f"s{number}", "clear\nnormal") for number in range(3000)]) == 2
