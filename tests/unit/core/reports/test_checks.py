"""Tables alone show what is wrong with reports, labels and splits."""

import pytest

from simcrop.core.data.problems import Problem
from simcrop.core.data.study import Report, Study
from simcrop.core.reports.checks import has_report, repeats, report_problems, set_problems, unusable

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
