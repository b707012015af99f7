"""Cleaning and sentence splitting of reports."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcrop.core.reports.markup import without_markup
from simcrop.core.reports.text import clean, sentence_key, sentences_of, split_sentences

NUMBER = re.compile(r"\d+(?:[.,:]\d+)+")
_TABLE = """
    Lungs clear. no nodule; 5 mm 1.5 1,5. 2. 3) 1) 2) 12.03.2021 (a b) heart: z. B. o.B. bds. fig. A.
    <br> &lt; _x000D_ | " - •
    肺 肺。 ； ปอดปกติดี ไม่พบก้อน है। मि.मी. מ"מ صافية. 폐. 정상. გულია. … ? ① x.Y
"""
PIECES = _TABLE.split()
REPORT_PIECES = st.lists(st.sampled_from([*PIECES, " ", " ", "\n", "\n\n"]), max_size=16).map("".join)
REPORT_CHARACTERS = st.text(alphabet="abABé12 .,?!:;\"'()[]-•\n\t“”", max_size=80)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Heart is normal. Lungs are clear.", ["Heart is normal.", "Lungs are clear."]),
        ("A nodule of 12.5 mm is seen.", ["A nodule of 12.5 mm is seen."]),
        ("The nodule measures 12. 5 mm is its width.", ["The nodule measures 12. 5 mm is its width."]),
        (
            "Left 2., 3. and 4. ribs are broken. Spine is normal.",
            ["Left 2., 3. and 4. ribs are broken.", "Spine is normal."],
        ),
        ("Fracture of the left 2. Rib is old.", ["Fracture of the left 2. Rib is old."]),
        ("Vessels ca. 8.5 mm wide. See lab. Findings.", ["Vessels ca. 8.5 mm wide.", "See lab. Findings."]),
        ("Nodule (Series 2, im. 30.) Lungs clear.", ["Nodule (Series 2, im. 30.)", "Lungs clear."]),
        ("Compared with 12.03.2021. Stable.", ["Compared with 12.03.2021.", "Stable."]),
        ("Compared with 2021. Stable.", ["Compared with 2021.", "Stable."]),
        ("The density is 8.5. 3 nodules remain.", ["The density is 8.5.", "3 nodules remain."]),
        ("Is it new? Yes! Follow.", ["Is it new?", "Yes!", "Follow."]),
        ("no effusion. no nodule.", ["no effusion.", "no nodule."]),
        ("- Heart normal.\n- Lungs clear\n• No effusion", ["Heart normal.", "Lungs clear", "No effusion"]),
        ("1. Nodule. 2. Effusion.\n3) Mass", ["1. Nodule.", "2. Effusion.", "3) Mass"]),
        ("Lungs clear\n\nheart normal", ["Lungs clear", "heart normal"]),
        ("A line that\ngoes on. Next.", ["A line that goes on.", "Next."]),
        ('"Lungs clear. Heart normal.', ["Lungs clear.", "Heart normal."]),
        ("Lungs clear. 12. ", ["Lungs clear. 12."]),
        ("Lungs clear.\n\n2.\n\nHeart normal.", ["Lungs clear.", "2. Heart normal."]),
        ("Diameter, mm\n\n12.5\n\nHeart normal.", ["Diameter, mm 12.5", "Heart normal."]),
        ("... 5 mm.", ["5 mm."]),
        ("Lungs:\n\nclear\n\nHeart: normal", ["Lungs: clear", "Heart: normal"]),
        ("Impression: 1. Normal chest.", ["Impression: 1. Normal chest."]),
        ("The following was seen in the lungs:\n\nnodules", ["The following was seen in the lungs:", "nodules"]),
        ("No effusion\n\nImpression:", ["No effusion Impression:"]),
        ('Seen in 1"5 mm.', ["Seen in 1 5 mm."]),
        ('קשרית 4 מ"מ. אין תפליט.', ['קשרית 4 מ"מ.', "אין תפליט."]),
        ("2019", ["2019"]),
        ("", []),
        (" .\n- ", []),
    ],
)
def test_splits_as_a_reader_would(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@given(REPORT_CHARACTERS | REPORT_PIECES | st.text(max_size=60))
def test_sentences_hold_every_letter_and_digit_once_and_in_order(text: str) -> None:
    sentences = split_sentences(text)
    assert [c for c in "".join(sentences) if c.isalnum()] == [c for c in without_markup(text) if c.isalnum()]


@given(REPORT_CHARACTERS | REPORT_PIECES | st.text(max_size=60))
def test_a_sentence_that_is_split_again_is_itself(text: str) -> None:
    for sentence in split_sentences(text):
        assert split_sentences(sentence) == [sentence]


@given(REPORT_CHARACTERS | REPORT_PIECES)
def test_no_number_is_cut_at_its_decimal_mark(text: str) -> None:
    found = [number for sentence in split_sentences(text) for number in NUMBER.findall(sentence)]
    assert found == NUMBER.findall(without_markup(text))


@given(REPORT_CHARACTERS)
def test_sentences_have_single_spaces_and_all_but_one_have_a_letter(text: str) -> None:
    sentences = split_sentences(text)
    assert all(sentence == " ".join(sentence.split()) != "" for sentence in sentences)
    if len(sentences) > 1:
        assert all(any(c.isalpha() for c in sentence) for sentence in sentences)


@given(REPORT_CHARACTERS)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean(clean(text)) == clean(text)


def test_clean_removes_what_is_no_text_and_keeps_line_breaks() -> None:
    assert clean('  "Heart\x00  is\tnormal.\r\n\r\n\r\n- Lungs clear. ') == "Heart is normal.\n\n- Lungs clear."
    assert clean('"Heart is normal."') == "Heart is normal."
    assert clean('A "mosaic" pattern.') == 'A "mosaic" pattern.'


def test_a_filler_is_empty() -> None:
    assert clean("Not given.") == clean("<p>&nbsp;</p>") == clean("keine Angabe") == ""
    assert sentences_of("Not given.") == []


def test_sentence_key_ignores_case_and_white_space_only() -> None:
    key = sentence_key("No pleural effusion.")
    assert key == sentence_key(" no  PLEURAL\neffusion. ") == 1496164094657191812
    assert key != sentence_key("No pleural effusion")
    assert 0 <= key < 2**63


def test_soft_hyphens_are_no_letters_and_no_spaces() -> None:
    assert clean("Kein Pleura\xadergus\xad\ns.") == "Kein Pleuraerguss."
