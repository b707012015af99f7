"""Findings that are numbered in a running text, or that semicolons divide."""

import re
from collections.abc import Iterator
from itertools import pairwise

from simcrop.core.reports.abbreviations import ORDINAL_NOUNS
from simcrop.core.reports.script import is_cased, is_small
from simcrop.core.reports.stops import in_brackets

_NUMBER = re.compile(r"(?P<number>[0-9]{1,2})(?P<sign>[.)）、．])(?P<space>\s*)(?=(?P<next>[^\W_]))")
_BEFORE_NUMBER = re.compile(r"(?:[\s:：;；。]|(?:^|\D)\.|^)[(（]?$")
_CIRCLED = re.compile(r"(?=[①-⑳])")
_OPEN = re.compile(r"(?:^|[:：;；.。])\s*$")
_SEMICOLON = re.compile(r"[;；؛]+\s*(?=\S)")
_LOOK_AHEAD = 32
_LETTER = re.compile(r"[^\W\d_]")
_STOPPED = re.compile(r"[.?!…。｡！？．؟۔।॥]['\"”’»)\]」』）】]*\s*$")


def numbered(text: str) -> list[str]:
    """A paragraph without line breaks, broken before each number of a list that counts from 1.

    Lists are "1) ... 2) ...", "(1) ...", "1. ... 2. ..." from the start or a colon on, and circled numbers.
    """
    starts = [match.start() for match in _CIRCLED.finditer(text)] if not text.isascii() else []
    counted: list[int] = []
    for match in _NUMBER.finditer(text):
        start = _start_of_item(match, text) if int(match["number"]) == len(counted) + 1 else None
        if start is not None and (counted or _OPEN.search(text[:start]) or match["sign"] != "."):
            counted.append(start)
    starts += counted if len(counted) > 1 else []
    bounds = [0, *sorted(starts), len(text)]
    return [text[start:end] for start, end in pairwise(bounds)]


def clauses(sentence: str) -> Iterator[str]:
    """A sentence, broken at semicolons that stand for stops.

    They do where no stop ends the sentence, and where there are several: two in a sentence without capitals, three in
    another, since "When seen in the lung window; ...; ..." is one sentence. Those in brackets or between numbers never.
    """
    places = [match for match in _SEMICOLON.finditer(sentence) if _divides(match, sentence)]
    start = 0
    if places and len(places) >= _least_semicolons(sentence):
        for match in places:
            yield sentence[start : match.end()]
            start = match.end()
    yield sentence[start:]


def _least_semicolons(sentence: str) -> int:
    if _STOPPED.search(sentence) is None:
        return 1
    opening = _LETTER.search(sentence)
    return 2 if opening is None or is_small(opening[0]) or not is_cased(opening[0]) else 3


def _start_of_item(match: re.Match[str], text: str) -> int | None:
    """The start of a number of a list with its bracket; None where the number is another's."""
    before = text[max(0, match.start() - 3) : match.start()]
    if not _BEFORE_NUMBER.search(before):
        return None
    if match["next"].isdigit() and (match["sign"] in ".．" or not match["space"]):
        return None  # a decimal, or another number
    if match["sign"] == "." and (
        is_small(match["next"]) or text[match.end() : match.end() + _LOOK_AHEAD].casefold().startswith(ORDINAL_NOUNS)
    ):
        return None
    start = match.start() - before.endswith(("(", "（"))
    return None if in_brackets(text[:start]) else start


def _divides(match: re.Match[str], sentence: str) -> bool:
    before = sentence[: match.start()].rstrip()
    between_numbers = before[-1:].isdigit() and sentence[match.end()].isdigit()
    return bool(before) and not between_numbers and not in_brackets(before)
