"""Texts that a wrong encoding made are found by a word of theirs; what people write is not."""

import pytest
from support.report_sentences import LANGUAGES, sentences

from simcrop.core.reports.garbled import garbled_word

TEXTS = {
    "cp1252": "Akciğer parankimi doğal. Größe unauffällig – kein Erguss.",
    "cp1254": "Akciğer parankimi doğal. Şüpheli lezyon.",
    "cp1251": "Печень не увеличена.",
    "gb18030": "双肺纹理清晰",
}


@pytest.mark.parametrize("code_page", TEXTS)
def test_utf8_that_was_read_in_a_code_page_is_found(code_page: str) -> None:
    text = TEXTS[code_page]
    assert garbled_word(text) == ""
    assert garbled_word(text.encode("utf-8").decode(code_page, "replace").replace("\ufffd", "")) != ""


def test_lost_letters_are_found() -> None:
    assert garbled_word("Kein Erguss, Lungen\ufffddem. Herz.") == "Lungen\ufffddem"
    text = f"{TEXTS['cp1254']} Safra kesesi doğal.".encode("ascii", "replace").decode()
    assert garbled_word(text) == "Akci?er"


@pytest.mark.parametrize(
    "text",
    [
        "nodule?metastasis. infection?tumour",
        "«É» Ä» „Ö“ ça où 5 µm ±2° 3×4",
        "Is it new? yes? no?",
        *(" ".join(sentences(language)) for language in LANGUAGES),
        *(" ".join(sentences(language)).upper() for language in LANGUAGES),
    ],
)
def test_what_people_write_is_not(text: str) -> None:
    assert garbled_word(text) == ""
