"""Places where a sentence ends: stops of every script, bullets, and spaces of Thai."""

import re
from collections.abc import Iterator
from itertools import pairwise

from simcrop.core.reports.script import holds_thai, is_spoken
from simcrop.core.reports.stops import ends_sentence, in_brackets

_CLOSING = r"\"'”’»)\]」』）】〉》"
_OPENING = r"\"'“‘«(\[「『（【〈《¿¡<>≤≥~≈±+"
_BULLETS = "•▪●‣◦∙■◆►➢➤✓✔\uf0b7\uf0a7"
_MARKS = "。｡！？؟۔।॥։።፧፨។៕"
_SIGN = re.compile(rf"[.?!…:;：；{_BULLETS}{_MARKS}．|\u037e]")
_BREAK = re.compile(
    rf"""
    # a mark with its closing quotes or brackets; stops.py says whether it ends the sentence
    (?<![.?!…])(?P<stop>[.?!…]++[{_CLOSING}]*)(?P<space>\s*)(?=[{_OPENING}]*(?P<next>\w))
    # a bullet
    |(?P<before_bullet>[.?!…][{_CLOSING}]*|[:;：；])(?:(?:\s*+[-–—*·]++\s++)++(?=\S)|(?<=[.?!…])\s+[-–—*·]+(?=[^\W\d_]))
    |[{_BULLETS}]
    # a mark that ends nothing but sentences; Greek asks by a semicolon, and a bar may stand for a danda
    |(?P<mark>(?:[{_MARKS}]|(?<!\d)．|．(?!\d)|(?<=[\u0900-\u0dff])\|+|(?<=[\u0370-\u03ff])[;\u037e](?=\s|$|[\u0386\u0388-\u03ab]))
       [{_MARKS}．]*[{_CLOSING}]*)
    """,
    re.VERBOSE,
)
_LEADING_BULLETS = re.compile(r"(?:\s*+[-–—*·]++\s++)++(?=\S)|\s*[-–—*·]+(?=[(\[（「『«“¿¡]*[^\W\d_])")
_KEPT = ("stop", "before_bullet", "mark")
_LOOK_AHEAD = 64
"""Characters that say what follows a stop."""
_PHRASE = 6
"""Letters and marks on both sides of a space of Thai that ends a phrase; shorter runs are words of one."""
_GOES_ON = ("และ", "หรือ", "ที่", "ซึ่ง", "ของ", "ใน", "กับ", "โดย", "จาก", "ขนาด", "ประมาณ", "บริเวณ", "ๆ", "ฯ")


def fragments(text: str) -> Iterator[str]:
    """A paragraph without line breaks, divided wherever a sentence ends; bullets are dropped."""
    for fragment in _stopped(text):
        if holds_thai(fragment):
            yield from _phrases(fragment)
        else:
            yield fragment


def _stopped(text: str) -> Iterator[str]:
    leading = _LEADING_BULLETS.match(text)
    start = leading.end() if leading else 0
    done = start
    for sign in _SIGN.finditer(text, start):
        match = _BREAK.match(text, sign.start()) if sign.start() >= done else None
        if match is not None and _is_end(match, text, start):
            yield text[start : next((match.end(name) for name in _KEPT if match[name] is not None), match.start())]
            start = done = match.end()
    yield text[start:]


def _is_end(match: re.Match[str], text: str, start: int) -> bool:
    place = match.start()
    if match["stop"] is not None:
        following, is_spaced = match.start("next"), match["space"] != ""
        if not is_spaced and text[place - 1 : place].isdigit() and text[following].isdigit():
            return False  # a decimal, a date
        return ends_sentence(
            text[start:place], match["stop"], text[following : following + _LOOK_AHEAD], is_spaced=is_spaced
        )
    return match["mark"] is None or not in_brackets(text[start:place])


def _phrases(text: str) -> Iterator[str]:
    """Thai, where no mark ends a sentence, at the spaces between its phrases."""
    words = text.split(" ")
    phrase = words[:1]
    for before, after in pairwise(words):
        is_long = min(len(before), len(after)) >= _PHRASE and is_spoken(before) and holds_thai(after[0])
        if is_long and holds_thai(before[-1]) and not after.startswith(_GOES_ON) and not in_brackets(" ".join(phrase)):
            yield " ".join(phrase)
            phrase = []
        phrase.append(after)
    yield " ".join(phrase)
