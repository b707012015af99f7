"""Tell the line breaks that end a finding from those that only wrap long text.

A line that was wrapped had no room for the first word of the next one. A line that had room was ended on purpose: each
line is a finding. Where the widths leave it open, narrow lines are findings, and those that all begin with capitals.

A break that is a mark, such as "<br>", was written on purpose, whatever follows. Where a program marked the ends of
wrapped lines, the widths show it.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from simcrop.core.reports.script import holds_unspaced, is_cased, is_small
from simcrop.core.reports.stops import in_brackets

MARK = "\u2028"
"""Stands for a line break that is a mark in the text."""

_BLANK_LINES = re.compile(r"\n\s*\n")
_NEW_ITEM = re.compile(
    r"""\s*(?:[-–—*·]+[ ]|[-–—*·•▪●‣◦∙■◆►➢➤✓✔\uf0b7\uf0a7○◯・]|\(?\d{1,2}[.)]\s|\(?\d{1,2}[.)、．](?=[^\W\d_])|[①-⑳]
    |\w[\w /]{1,30}[:：](?:\s|$))""",
    re.VERBOSE,
)
_STOPPED = re.compile(r"[.?!…。｡！？．؟۔।॥։።៕]['\"”’»)\]」』）】]*$")
_INNER_STOP = re.compile(r"[.?!]\s+\S")
_FIRST_LETTER = re.compile(r"\w")
_FIRST_WORD = re.compile(r"\S+")
_NARROW = 50
"""Columns; texts are wrapped at more."""
_HYPHENED = re.compile(r"[^\W\d_]-$")
_COMMAS = (",", "，", "、")
_WRAPPED = 2
"""So many marked breaks in a row without room for the next word are no chance."""
_SURE = 3
"""So many lines that all begin with a capital are no chance, in German either."""


def without_marks(text: str) -> str:
    """A text in which a marked break ends a paragraph; it is but a line break where it wraps, or the line goes on."""
    if MARK not in text:
        return text
    return "\n\n".join(map(_without_marks, _BLANK_LINES.split(text)))


def _without_marks(block: str) -> str:
    parts = [part.strip() for part in block.split(MARK)]
    widest = max(_width(line) for part in parts for line in part.split("\n"))
    lines = [(before.rpartition("\n")[2], after) for before, after in pairwise(parts) if before and after]
    is_wrapped = widest >= _NARROW and len(lines) >= _WRAPPED and not any(_has_room(*pair, widest) for pair in lines)
    text = parts[0]
    for before, after in pairwise(parts):
        goes_on = is_wrapped or before.endswith(_COMMAS) or in_brackets(before)
        text += ("\n" if goes_on else "\n\n") + after
    return text


def paragraphs(text: str) -> list[str]:
    """A text in parts without a line break: broken where a break ends a finding, other breaks made spaces."""
    return [part for block in _BLANK_LINES.split(text) for part in _parts(block)]


def _parts(block: str) -> list[str]:
    if "\n" not in block:
        return [block]
    lines = [line for line in map(str.strip, block.split("\n")) if line]
    parts, ends = lines[:1], _Ends(lines)
    for index, line in enumerate(lines[1:]):
        if ends.is_end(index):
            parts.append(line)
        else:
            parts[-1] += f" {line}"
    return parts


class _Ends:
    """Judges the line breaks of a block."""

    def __init__(self, lines: Sequence[str]) -> None:
        widest = max(map(_width, lines), default=0)
        self._is_narrow = widest < _NARROW
        self._has_inner_stops = any(map(_INNER_STOP.search, lines))
        self._pairs = list(pairwise(lines))
        self._had_room = [_has_room(line, following, widest) for line, following in self._pairs]
        self._comma = [line.endswith(_COMMAS) for line, _ in self._pairs]
        self._all_commas = len(self._comma) > 1 and all(self._comma)
        self._small = [_begins_small(following) for _, following in self._pairs]
        self._no_capitals = all(self._small) and (not _begins_large(lines[0]) or self._is_list_with_one_capital())
        undecided = [
            index
            for index, (line, following) in enumerate(self._pairs)
            if not _STOPPED.search(line) and not _is_item(following)
        ]
        large = [_begins_large(self._pairs[index][1]) for index in undecided]
        self._goes_on = any(self._small[index] for index in undecided)
        self._is_list = (len(large) >= _SURE and all(large)) or any(
            self._had_room[index] and (self._no_capitals or not self._small[index]) for index in undecided
        )

    def is_end(self, index: int) -> bool:
        """Whether the line of that number ends a finding."""
        line, following = self._pairs[index]
        if _is_item(following):
            return True
        if (self._comma[index] and not self._all_commas) or (self._small[index] and not self._no_capitals):
            return False
        if self._small[index] and _HYPHENED.search(line):
            return False
        if _STOPPED.search(line):
            return self._had_room[index]  # else the stop itself decides
        goes_on = self._has_inner_stops if self._no_capitals else self._goes_on
        return self._is_list or (self._is_narrow and not goes_on)

    def _is_list_with_one_capital(self) -> bool:
        """Whether the capital of the first line is one that a keyboard puts there by itself."""
        return len(self._pairs) > 1 and self._is_narrow and not self._has_inner_stops and not any(self._comma)


def _has_room(line: str, following: str, widest: int) -> bool:
    """Whether a line had room for the first word of the next one, so that it was ended on purpose."""
    return _width(line) + 1 + _width(_first_unit(following)) <= widest


def _is_item(line: str) -> bool:
    return _NEW_ITEM.match(line) is not None


def _first_letter(line: str) -> str:
    found = _FIRST_LETTER.search(line)
    return found[0] if found else " "


def _begins_small(line: str) -> bool:
    return is_small(_first_letter(line))


def _begins_large(line: str) -> bool:
    letter = _first_letter(line)
    return is_cased(letter) and not is_small(letter)


def _first_unit(line: str) -> str:
    """The least that could have stood at the end of the line before."""
    found = _FIRST_WORD.match(line)
    word = found[0] if found else ""
    return word[:1] if holds_unspaced(word[:1]) else word


def _width(text: str) -> int:
    """Columns of a text; letters of East Asia take two."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)
