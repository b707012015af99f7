"""Leftovers of spreadsheets, pages and messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcrop.core.reports.markup import without_markup

CR = "_x000D_"
PIECES = [
    "a",
    " ",
    "\n",
    "<br/>",
    "<p>",
    "</p>",
    "<b>",
    "&lt;",
    "&amp;",
    "lt;",
    CR,
    "_x00",
    "0D_",
    "\\",
    ".br\\",
    "n",
    "|",
    "<",
    ">",
    "~",
    "**",
    "#",
    "td",
    "\\f0",
    "\\T\\",
    "{\\rtf1",
]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (f"Clear.{CR}\nHeart", "Clear.\nHeart"),
        (f"Clear.{CR.lower()}Heart_x0009_normal", "Clear.\nHeart normal"),
        (f"Clear.{CR}_x000A_Heart", "Clear.\nHeart"),
        ("Clear.<br/>Heart<BR>normal<br clear='all' />\nNo", "Clear.\n\nHeart\n\nnormal\n\nNo"),
        ('<p class="a">Clear</p><ul><li>Heart</li></ul>', "\n\nClear\n\n\n\n\n\nHeart\n\n\n\n"),
        ("<b>L</b>ungs <span style='x'>clear</span>", "Lungs clear"),
        ("&lt;br&gt;Clear&nbsp;&amp;amp; dry", "\n\nClear\xa0& dry"),
        ("caf&eacute; &#252; &#xfc; &unknown; AT&T; a", "café ü ü &unknown; AT&T; a"),
        ("nodules <5 mm and >3 mm, a<b, x<p and q>r", "nodules <5 mm and >3 mm, a<b, x<p and q>r"),
        (r"Clear.\.br\Heart\X0D0A\normal\par No", "Clear.\n\nHeart\nnormal\n\nNo"),
        (r"Clear.\nHeart\r\nnormal C:\right", "Clear.\nHeart\nnormal C:\\right"),
        ("Clear | Heart // Spine, a|b 5//6", "Clear \n\n Heart \n\n Spine, a|b 5//6"),
        ("Clear\u2028Heart\x0bSpine\x0cRibs", "Clear\n\nHeart\n\nSpine\nRibs"),
        ("<!DOCTYPE html><style>p {margin: 0}</style><!-- x\ny --><p>Clear</p>", "   \n\nClear\n\n"),
        ("<paragraph><content ID='a'>Clear</content></paragraph><item>Dry</item>", "\n\nClear\n\n\n\nDry\n\n"),
        (r"{\rtf1\ansi{\fonttbl\f0 Arial;}Clear\par dry}", "Clear\n\ndry"),
        (r"Clear.\.br\normal~No mass~~5 mm\T\ a ~3 mm", "Clear.\n\nnormal\n\nNo mass~~5 mm& a ~3 mm"),
        (r"\pard\plain\f0\fs20 Clear.\par\pard\b0 C:\plainly \f", "Clear.\n\nC:\\plainly \\f"),
        ("<table><tr><td>Lungs</td><td>clear</td></tr></table>", "\n\n\n\n Lungs  clear \n\n\n\n"),
        ("## Lungs\n**Clear:** 2**3 ** a **", "Lungs\nClear: 2**3 ** a **"),
        ("Plain text; A & B.", "Plain text; A & B."),
    ],
)
def test_leftovers_are_what_they_stand_for(text: str, plain: str) -> None:
    assert without_markup(text) == plain


@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_twice_changes_nothing_more(text: str) -> None:
    assert without_markup(without_markup(text)) == without_markup(text)
