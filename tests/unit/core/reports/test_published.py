"""The published rule: which stops end a sentence. Whole texts by hand: tests/golden/test_published_sentences.py."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcrop.core.data.study import Report
from simcrop.core.reports.published import as_published, joined, sentence_ends


def ends(text: str) -> list[int]:
    """Characters of the stops that end a sentence, where a token is a word, a number or a sign."""
    spans = [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
    return [spans[number][0] for number in sentence_ends(text, spans)]


@pytest.mark.parametrize("text", ["5 mm.", "12.", "12. 34", "a(.", "a).", "a.) b", "a_.", "a. b"])
def test_a_stop_ends_a_sentence(text: str) -> None:
    assert ends(text) == [text.index(".")]


@pytest.mark.parametrize("text", ["5.", "5 .", "t5.", ". 5", ".5 mm", ". 5mm", "cm².", "50%.", 'a."', "a..", ".(a"])
def test_a_stop_beside_a_digit_or_a_sign_ends_none(text: str) -> None:
    assert ends(text) == []


def test_a_digit_behind_counts_as_the_token_has_it() -> None:
    text = "a. 150"
    assert sentence_ends(text, [(0, 1), (1, 2), (3, 6)]) == [1]
    assert sentence_ends(text, [(0, 1), (1, 2), (3, 4), (4, 6)]) == []


def test_signs_become_commas_or_go() -> None:
    assert as_published("What? A: b; c, d. Not given.") == "What A, b, c, d. Not given."


def test_a_filler_behind_takes_the_impression_with_it() -> None:
    assert joined(Report("a.", "b.")) == "a.b."
    assert joined(Report("a.", "b. Not given.")) == "a."
    assert joined(Report("Not given.", "b.")) == "Not given.b."


@given(st.text(alphabet="ab. 25%()", max_size=30))
def test_ends_are_stops_and_where_no_sign_or_digit_is_all_of_them(text: str) -> None:
    assert all(text[place] == "." for place in ends(text))
    plain = re.sub(r"[^ab ]+", " . ", text)
    assert len(ends(plain)) == plain.count(".")
