"""Reports in many languages, joined in the usual ways, come back as their sentences."""

import random
from collections.abc import Callable, Sequence

import pytest
from support.report_sentences import ABBREVIATED, LANGUAGES, UNCASED, UNSPACED, UNSTOPPED, sentences

from simcrop.core.reports.text import clean, sentences_of, split_sentences

JOINS: dict[str, Callable[[Sequence[str]], str]] = {
    "one a line": "\n".join,
    "blank lines": "\n\n".join,
    "Windows lines": "\r\n".join,
    "a spreadsheet's lines": lambda texts: "".join(f"{text}_x000D_\n" for text in texts),
    "line breaks of a page": "<br/>".join,
    "escaped line breaks": "&lt;br&gt;".join,
    "paragraphs of a page": lambda texts: "".join(f"<p>{text}</p>" for text in texts),
    "a list of a page": lambda texts: f"<ul>{''.join(f'<li>{text}</li>' for text in texts)}</ul>",
    "a message's lines": r"\.br\ ".join,
    "rich text": r"\par ".join,
    "bars": " | ".join,
    "bullets": lambda texts: "\n".join(f"- {text}" for text in texts),
    "bullets in a line": " • ".join,
}
"""Name -> how sentences are put together, whatever ends them."""


def bare(text: str) -> str:
    """A sentence without its last mark."""
    return text.rstrip(" .。।?؟？;！!")


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_ten_sentences_of_each_language(language: str) -> None:
    assert len(set(sentences(language))) >= 10


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_come_back_from_every_layout(language: str, join: str) -> None:
    texts = sentences(language)
    assert sentences_of(JOINS[join](texts)) == texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_come_back_from_running_text(language: str) -> None:
    texts = sentences(language)
    assert sentences_of(("" if language in UNSPACED else " ").join(texts)) == texts
    assert sentences_of("  ".join(texts)) == texts


@pytest.mark.parametrize("language", ABBREVIATED)
def test_sentences_come_back_where_nearly_every_one_has_an_abbreviation(language: str) -> None:
    texts = sentences(language, ABBREVIATED)
    assert sentences_of(("" if language in UNSPACED else " ").join(texts)) == texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_findings_without_stops_come_back_from_lines_and_semicolons(language: str) -> None:
    texts = [bare(text) for text in sentences(language)]
    assert sentences_of("\n".join(texts)) == texts
    assert [text.rstrip(";") for text in sentences_of("; ".join(texts))] == texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_of_a_list_stay_with_their_findings(language: str) -> None:
    for sign in (".", ")"):
        texts = [f"{number}{sign} {text}" for number, text in enumerate(sentences(language), 1)]
        assert sentences_of("\n".join(texts)) == texts
        assert sentences_of(" ".join(texts)) == texts


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name not in UNSTOPPED])
def test_sentences_come_back_where_no_space_follows_the_stop(language: str) -> None:
    texts = sentences(language)
    assert sentences_of("".join(texts)) == texts


@pytest.mark.parametrize("change", [str.lower, str.upper])
@pytest.mark.parametrize("language", [name for name in LANGUAGES if name not in (*UNCASED, "German")])
def test_sentences_come_back_in_small_letters_or_capitals_alone(language: str, change: Callable[[str], str]) -> None:
    # In German some abbreviations end a sentence before a capital alone. A question mark goes on before a small letter.
    texts = [change(text) for text in sentences(language) if text[-1] not in "?;"]
    assert sentences_of(" ".join(texts)) == texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_of_any_language_is_itself(language: str) -> None:
    for text in sentences(language):
        assert clean(text) == text
        assert split_sentences(text) == [text]


def test_nothing_is_lost_of_reports_in_any_order_and_layout() -> None:
    generator = random.Random(0)
    for _ in range(1000):
        language = generator.choice(LANGUAGES)
        texts = generator.sample(sentences(language), k=6)
        report = JOINS[generator.choice([*JOINS])](texts)
        assert sentences_of(report) == texts
