"""Prompts that a file gives, and what is wrong with one."""

import json
from pathlib import Path

import pytest

from simcrop.adapters.config.prompts import choose_prompts
from simcrop.core.errors import ConfigError
from simcrop.core.reports.prompts import WORDS, FindingWords, PromptTexts, templates


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
