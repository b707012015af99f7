"""Words and letters of every script."""

import pytest

from simcrop.core.reports.script import WORD, Length, holds_unspaced, is_cased, is_small, is_spoken, is_syllable, length


@pytest.mark.parametrize(
    ("text", "words", "letters"),
    [
        ("No effusion - 5.5 mm.", 4, 0),
        ("Kein Erguß!", 2, 0),
        ("右肺下叶见5mm小结节。", 1, 8),
        ("両肺野は清明です。", 0, 8),
        ("폐는 깨끗함.", 2, 0),
        ("ไม่พบก้อน 5 มม.", 1, 9),
        ("दोनों फेफड़े साफ हैं।", 4, 0),
        ("لا انصباب", 2, 0),
        (" - ", 0, 0),
    ],
)
def test_words_are_counted_where_spaces_divide_them_and_letters_elsewhere(text: str, words: int, letters: int) -> None:
    assert length(text) == Length(words, letters)
    assert holds_unspaced(text) == (letters > 0)


def test_lengths_are_said_in_words() -> None:
    assert [str(Length(*size)) for size in ((3, 0), (0, 40), (2, 9), (0, 0))] == [
        "3 words",
        "40 letters",
        "2 words and 9 letters",
        "0 words",
    ]


@pytest.mark.parametrize("text", ["फेफड़े साफ हैं", "ปอดทั้งสองข้าง ปกติ", "הריאות נקיות", "Épaississement diffus"])
def test_marks_belong_to_their_words(text: str) -> None:
    assert WORD.findall(text) == text.split()


def test_only_scripts_that_begin_sentences_with_capitals_have_some() -> None:
    assert [c for c in "aÄжΩა肺가عहกა" if is_cased(c)] == list("aÄжΩ")
    assert [c for c in "aÄжΩა肺" if is_small(c)] == list("aж")


def test_words_of_one_letter_and_abbreviations_of_consonants() -> None:
    assert [c for c in "a肺폐はعका" if is_syllable(c)] == list("肺폐は")
    assert is_spoken("ปกติ")
    assert not is_spoken("มม")
