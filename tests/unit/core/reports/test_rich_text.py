"""Rich text is read as the text that its program shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcrop.core.reports.rich_text import plain_text
from simcrop.core.reports.text import sentences_of

HEAD = (
    r"{\rtf1\ansi\ansicpg1252\deff0\deflang1031{\fonttbl{\f0\fnil\fcharset0 Arial;}{\f1\fswiss\fcharset162 Arial Tur;}}"
    "\r\n"
    r"{\colortbl ;\red255\green0\blue0;}{\*\generator Riched20 10.0;}\viewkind4\uc1\pard\f0\fs20 "
)


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        (r"\b Herz:\b0  normal gro\'df\par" "\r\nkein Erguss", "Herz: normal groß\u2028kein Erguss"),
        (r"\f1 Akci\'f0er do\'f0al\f0  gr\'f6\'dfer", "Akciğer doğal größer"),
        (r"\u8211?neu \u-10179?\uc0\u916 x \{a\}\~\\b", "–neu \ud83dΔx {a}\xa0\\b"),
        (r"a\'96b\emdash c\tab d\cell e{\pict\wmetafile8 0102ff}\bullet f", "a–b—c d e•f"),
        (r"{\b fett {\i beides}} und{\*\bkmkstart x} Ende\line neu", "fett beides und Ende\u2028neu"),
    ],
)
def test_a_document_gives_its_text(body: str, plain: str) -> None:
    assert plain_text(f"{HEAD}{body}}}") == plain


def test_bytes_of_two_are_put_together() -> None:
    body = "".join(f"\\'{byte:02x}" for byte in "双肺清晰。".encode("gbk"))
    assert plain_text(rf"{{\rtf1\ansi\ansicpg936 {body}}}") == "双肺清晰。"
    assert plain_text(r"{\rtf1\ansi\ansicpg99999 gro\'df}") == "groß"


def test_its_sentences_are_those_of_the_report_and_nothing_else() -> None:
    body = r"\b Befund:\b0\par Lungen frei\par kein Erguss, Herz normal gro\'df\par }"
    assert sentences_of(HEAD + body) == ["Befund: Lungen frei", "kein Erguss, Herz normal groß"]


@given(st.text(alphabet=st.sampled_from("a {}\\'f0u-*\n"), max_size=40))
def test_what_is_damaged_is_read_as_far_as_it_goes(text: str) -> None:
    assert isinstance(plain_text(f"{{\\rtf1 {text}"), str)
    assert plain_text(text) == text
