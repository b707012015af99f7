"""Reports as the code of the paper's authors reads them: sentences end at full stops among tokens.

Source: docs/method.md, section 8; the pre-training code of the authors' later extension, described and not copied.
"""

from collections.abc import Sequence

from simcrop.core.data.study import Report

_CHANGED = str.maketrans({"?": "", ":": ",", ";": ","})
_FILLERS = ("Not given.", "Not given")
_STOP = "."
_Span = tuple[int, int]


def as_published(text: str) -> str:
    """A text without "?", and with a comma for each ":" and ";"; nothing else is cleaned, and fillers stay."""
    return text.translate(_CHANGED)


def joined(report: Report) -> str:
    """Findings and impression without a space between; the findings alone where the two end with "Not given."."""
    both = report.findings + report.impression
    return report.findings if both.endswith(_FILLERS) else both


def sentence_ends(text: str, spans: Sequence[_Span]) -> list[int]:
    """The tokens that end a sentence: full stops with no one-digit token on either side.

    What stands behind the last of them belongs to no sentence. So "e.g." ends two, "grade 3." ends none, and
    "of 12 mm." and "in 2019." end one.

    These details had to be chosen, since the authors' tokenizer is not that of every text encoder:

    - Theirs parts digits from letters, so the digit of "T4." is a token. Here it is told by the characters: in front of
      a stop a single digit with no digit before it, and behind one a token that begins with a single digit.
    - Theirs makes one unknown token of signs without a space between, but for parentheses, which it parts first. So the
      stop of "50%." is none; nor is any here that touches a sign in front of it or behind it.
    - Theirs reads an empty cell of the table as the word "nan"; here it is an empty text, without a sentence.

    Args:
        text: from `as_published`.
        spans: first and last character, the latter exclusive, of each token.

    Returns:
        Numbers of the tokens, ascending.
    """
    return [
        number
        for number, (start, end) in enumerate(spans)
        if text[start:end] == _STOP
        and not _touches_sign(text, start, end)
        and not (number > 0 and _ends_with_one_digit(text[: spans[number - 1][1]]))
        and not (number + 1 < len(spans) and _begins_with_one_digit(text[slice(*spans[number + 1])]))
    ]


def _touches_sign(text: str, start: int, end: int) -> bool:
    before, behind = text[start - 1 : start] if start else "", text[end : end + 1]
    return _is_sign(before, besides="()") or _is_sign(behind, besides=")")


def _is_sign(character: str, *, besides: str) -> bool:
    return bool(character) and not (character.isalnum() or character.isspace() or character in f"_{besides}")


def _ends_with_one_digit(text: str) -> bool:
    return text[-1:].isdigit() and not text[-2:-1].isdigit()


def _begins_with_one_digit(text: str) -> bool:
    return text[:1].isdigit() and not text[1:2].isdigit()
