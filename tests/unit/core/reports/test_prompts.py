"""Sentences that assert and deny findings: built in, and how reports' sentences are told apart."""

import pytest

from simcrop.adapters.sources.label_tables import LABELS
from simcrop.core.reports.prompts import (
    WORDS,
    PromptTexts,
    denies,
    normal_findings,
    speaks_of,
    templates,
    words_of,
)


def test_every_label_of_ct_rate_has_words_and_its_own_sentences() -> None:
    assert set(WORDS) == set(LABELS)
    for finding in LABELS:
        texts, speaks = templates(finding), speaks_of(words_of(finding).terms)
        assert not any(denies(text) for text in texts.present)
        assert all(denies(text) for text in texts.absent)
        assert len(texts.present) == len(texts.absent) == 6
        if finding != "Medical material":  # its name is none of the things that it stands for
            assert any(speaks(text) for text in texts.present)
            assert any(speaks(text) for text in texts.absent)


def test_another_label_is_spoken_of_by_its_own_name() -> None:
    assert templates("breast_implant") == PromptTexts(
        ("Breast implant is seen.", "There is breast implant.", "Breast implant is observed."),
        ("No breast implant is seen.", "There is no breast implant.", "Breast implant was not observed."),
    )
    speaks = speaks_of(words_of("Rib fracture").terms)
    assert speaks("Fractures of two ribs.")
    assert not speaks("A fracture of the sternum.")


@pytest.mark.parametrize(
    ("finding", "sentence"),
    [
        ("Pleural effusion", "Free fluid in both pleural spaces."),
        ("Pleural effusion", "No pleural or pericardial effusion was detected."),
        ("Pericardial effusion", "No pleural or pericardial effusion was detected."),
        ("Lung nodule", "Millimetric NODULES in both lungs."),
        ("Lymphadenopathy", "Lymph nodes of 9 mm are seen."),
    ],
)
def test_a_sentence_is_recognised_by_the_beginnings_of_its_words(finding: str, sentence: str) -> None:
    assert speaks_of(WORDS[finding].terms)(sentence)


@pytest.mark.parametrize(
    ("finding", "sentence"),
    [
        ("Pleural effusion", "Pericardial effusion of 5 mm."),
        ("Coronary artery wall calcification", "Calcifications in the wall of the aorta."),
        ("Arterial wall calcification", "The coronary arteries are calcified."),
        ("Lung nodule", "Multinodular goitre."),
    ],
)
def test_a_sentence_of_something_else_is_not(finding: str, sentence: str) -> None:
    assert not speaks_of(WORDS[finding].terms)(sentence)


@pytest.mark.parametrize(
    "sentence", ["No nodule.", "Nodules were not seen.", "The lungs are free of nodules.", "NORMAL."]
)
def test_denials_are_told(sentence: str) -> None:
    assert denies(sentence)


@pytest.mark.parametrize("sentence", ["A nodule.", "A notable nodule.", "Abnormal nodes.", "Nodular lesion."])
def test_words_that_only_look_like_a_denial_are_none(sentence: str) -> None:
    assert not denies(sentence)


def test_the_built_in_findings_deny_all() -> None:
    findings = normal_findings()
    assert len(findings) == len(LABELS)
    assert all(denies(sentence) for sentence in findings)
