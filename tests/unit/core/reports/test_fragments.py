"""Places where a sentence ends, in one line of text."""

import pytest

from simcrop.core.reports.fragments import fragments


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Clear. No effusion", ["Clear.", "No effusion"]),
        ("Clear.) “No effusion”", ["Clear.)", " “No effusion”"]),
        ("Stable. ¿Es nuevo? Sí", ["Stable.", "¿Es nuevo?", "Sí"]),
        ("Stable. <5 mm", ["Stable.", "<5 mm"]),
        ("On 12.03.2021 of 9.5 mm", ["On 12.03.2021 of 9.5 mm"]),
        ("- Clear. - Normal. -Open", ["Clear.", "Normal.", "Open"]),
        ("-5 HU", ["-5 HU"]),
        ("• Clear • Normal", ["", " Clear ", " Normal"]),
        ("清晰。（可能。吗）正常！无", ["清晰。", "（可能。吗）正常！", "无"]),
        ("1．5 mm．正常", ["1．5 mm．", "正常"]),
        ("साफ है। सामान्य| है॥", ["साफ है।", " सामान्य|", " है॥", ""]),
        ("صافية؟ طبيعي۔ لا", ["صافية؟", " طبيعي۔", " لا"]),
        ("Μετάσταση; Όχι", ["Μετάσταση;", " Όχι"]),
        ("clear; open", ["clear; open"]),
        ("ปอดทั้งสองข้างปกติ ไม่พบก้อน 5 มม. ที่ปอด", ["ปอดทั้งสองข้างปกติ", "ไม่พบก้อน 5 มม. ที่ปอด"]),
        ("พบก้อนในปอด ที่กลีบล่าง และที่กลีบบนขวา", ["พบก้อนในปอด ที่กลีบล่าง และที่กลีบบนขวา"]),
    ],
)
def test_sentences_end_at_the_marks_of_their_script(text: str, parts: list[str]) -> None:
    assert [part.strip() for part in fragments(text)] == [part.strip() for part in parts]
