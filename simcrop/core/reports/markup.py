"""Leftovers of spreadsheets, pages and message formats in report texts, which stand for line breaks or characters."""

import re
from html import unescape

from simcrop.core.reports.lines import MARK, without_marks
from simcrop.core.reports.rich_text import plain_text

_HINTS = re.compile(r"[<&|~\\\x0b\x0c\x85\u2028\u2029]|_x00| // |\*\*|^#", re.MULTILINE)
_LINES = re.compile(
    r"""_x000[dD]_[ \t]*(?:\r?\n|_x000[aA]_)?|_x000[a-cA-C]_      # a spreadsheet's control characters
    |\\X0[AD](?:0A)?\\                                            # HL7
    |(?:\\r)?\\n|\\r(?![a-z])                                      # escaped twice
    |\x0c""",
    re.VERBOSE,
)
"""What a text has wherever its lines end, those that only wrap included."""
_MARKED_LINES = re.compile(
    r"""\\\.(?:br|sp)\\                                             # HL7
    |\\(?:par|line)\b[ ]?                                          # rich text
    |(?<=[^\s~])~(?=[^\W\d_])                                       # repeats a field of HL7; "~5 mm" is no end
    |[\x0b\x85\u2028\u2029]""",
    re.VERBOSE,
)
_ESCAPES = {"F": "|", "S": "^", "T": "&", "R": "~"}
_ESCAPED = re.compile(r"\\([FSTR])\\")
_RICH_WORDS = re.compile(r"\\(?:pard|plain|ulnone|ul|[bi]0?|(?:f|fs|cf|lang|li|sa|sb)\d{1,5})(?![a-zA-Z0-9])[ ]?")
"""Of rich text that has lost its head."""
_EMPHASIS = re.compile(r"\*\*(?=\S)([^*\n]+)(?<=\S)\*\*|^#{1,6}[ ]+", re.MULTILINE)
"""Of Markdown."""
_BARS = re.compile(r"(?<=\s)(?:\|{1,2}|//)(?=\s)")
_CONTROLS = re.compile(r"_x00[01][0-9a-fA-F]_")
_ATTRIBUTES = r"(?:\s[^<>]*=[^<>]*)?\s*/?>"
_LINE_TAGS = re.compile(rf"<br{_ATTRIBUTES}[ \t]*\n?", re.IGNORECASE)
_UNSEEN = re.compile(
    r"<(style|script|title|xml)(?:\s[^<>]*)?>.*?</\1\s*>|<!--.*?-->|<!doctype[^<>]*>|<\?xml[^<>]*>",
    re.IGNORECASE | re.DOTALL,
)
"""What a page holds beside its text."""
_CELL_TAGS = re.compile(rf"</?t[dh]{_ATTRIBUTES}", re.IGNORECASE)
_BLOCK = (
    "p|div|li|ul|ol|dl|dt|dd|tr|table|tbody|thead|h[1-6]|hr|html|head|body|pre|section|blockquote|center"
    "|paragraph|list|item|caption"  # the last four are those of HL7's documents
)
_BLOCK_TAGS = re.compile(rf"</?(?:{_BLOCK}){_ATTRIBUTES}", re.IGNORECASE)
_INLINE = r"a|b|i|u|s|em|strong|span|font|sub|sup|small|big|strike|meta|link|content|[ovw]:\w+"
_INLINE_TAGS = re.compile(rf"</?(?:{_INLINE}){_ATTRIBUTES}", re.IGNORECASE)
_ENTITIES = re.compile(r"&(?:amp;)*(#\d{1,6}|#[xX][0-9a-fA-F]{1,5}|[a-zA-Z]\w{1,30});")


def without_markup(text: str) -> str:
    """Text in which leftovers are what they stand for: "_x000D_", "<br/>" and " | " line breaks, "&lt;" a sign.

    A break that somebody wrote as a mark ("<br>") ends a paragraph, unless it wraps.
    Signs that are text stay: "nodules <5 mm and >3 mm". Doing it twice changes nothing more.
    """
    before = None
    while before != text and _HINTS.search(text):
        before = text
        text = _UNSEEN.sub(" ", plain_text(text))
        text = _RICH_WORDS.sub("", _MARKED_LINES.sub(MARK, text))
        text = _ESCAPED.sub(lambda match: _ESCAPES[match[1]], text)
        text = _CONTROLS.sub(" ", _LINES.sub("\n", text))
        text = _EMPHASIS.sub(lambda match: match[1] or "", text)
        text = _ENTITIES.sub(_character, text)
        text = _INLINE_TAGS.sub("", _CELL_TAGS.sub(" ", _BLOCK_TAGS.sub("\n\n", _LINE_TAGS.sub(MARK, text))))
        text = without_marks(_BARS.sub("\n\n", text))
    return text


def _character(match: re.Match[str]) -> str:
    entity = f"&{match[1]};"
    character = unescape(entity)
    return match[0] if character == entity else character
