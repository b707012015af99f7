"""Texts that say nothing, in the languages of reports."""

import pytest

from simcrop.core.reports.fillers import is_filler

FILLERS = ["Not given.", "not given", " NOT  GIVEN. ", "-", "", "N/A", "nan", "None.", "....", "- - - - - " * 20]
OTHERS = [
    "k. A.",
    "Keine Angabe",
    "Non renseigné.",
    "n.v.t.",
    "Нет данных.",
    "无",
    "なし。",
    "記載なし",
    "없음",
    "غير متوفر",
    "उपलब्ध नहीं",
    "ไม่มี",
]


@pytest.mark.parametrize("text", [*FILLERS, *OTHERS, "ＮＡ"])
def test_a_filler_says_nothing(text: str) -> None:
    assert is_filler(text)


@pytest.mark.parametrize(
    "text",
    ["None of the nodules grew.", "Contrast was not given.", "Normal.", "Unremarkable.", "无胸腔积液。", "폐는 정상."],
)
def test_a_sentence_is_no_filler(text: str) -> None:
    assert not is_filler(text)
