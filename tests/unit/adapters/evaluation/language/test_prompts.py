"""Sentences that assert and deny findings: built in, in files, and how reports' sentences are told apart."""

import json
from pathlib import Path

import pytest

from simcrop.adapters.evaluation.language.prompts import (
    WORDS,
    FindingWords,
    PromptTexts,
    choose_prompts,
    denies,
    normal_findings,
    speaks_of,
    templates,
    words_of,
)
from simcrop.adapters.sources.label_tables import LABELS
from simcrop.core.errors import ConfigError


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


def test_reports_and_templates_are_chosen_by_name() -> None:
    assert choose_prompts("templates", ["Emphysema"]) == {"Emphysema": templates("Emphysema")}
    assert choose_prompts("reports", ["Emphysema"]) == {"Emphysema": WORDS["Emphysema"]}


def test_a_file_gives_sentences_or_words_and_leaves_the_rest_built_in(tmp_path: Path) -> None:
    tree = {"Emphysema": {"present": ["Bullae."], "absent": ["No bulla.", "no"]}, "Nodule": {"terms": ["nodul", "a b"]}}
    yaml = tmp_path / "prompts.yaml"
    yaml.write_text("Emphysema:\n  present: [Bullae.]\n  absent: [No bulla., no]\nNodule: {terms: [nodul, a b]}\n")
    written = tmp_path / "prompts.json"
    written.write_text(json.dumps(tree))
    for path in (yaml, written):
        found = choose_prompts(str(path), ["Emphysema", "Nodule", "Cardiomegaly"])
        assert found == {
            "Emphysema": PromptTexts(("Bullae.",), ("No bulla.", "no")),
            "Nodule": FindingWords((), ("nodul", "a b")),
            "Cardiomegaly": templates("Cardiomegaly"),
        }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Emphysma: {terms: [a]}", r"'Emphysma' is no label of the data; did you mean 'Emphysema'\?$"),
        (
            "Emphysema: {present: [a]}",
            r"Emphysema needs the keys present and absent, or terms; see docs/evaluation.md$",
        ),
        ("Emphysema: [a]", r"Emphysema needs the keys"),
        ("Emphysema: {terms: []}", r"Emphysema: terms is no list of one or more texts with words$"),
        ("Emphysema: {terms: [' . ']}", r"Emphysema: terms is no list"),
        ("Emphysema: {present: a, absent: [b]}", r"Emphysema: present is no list"),
        ("[a]", r"holds no finding; see docs/evaluation.md for the format$"),
        ("a: {", r"prompts.yaml: line 1, column 5: not valid YAML .*"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_entry(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"^zeroshot.prompts: .*{message}") as error:
        choose_prompts(str(path), ["Emphysema"])
    assert "\n" not in str(error.value)


def test_a_missing_file_tells_what_else_could_be_written() -> None:
    with pytest.raises(ConfigError, match=r"^zeroshot.prompts: report cannot be read .*; write reports, templates, or"):
        choose_prompts("report", ["Emphysema"])
