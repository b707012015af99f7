"""Tell the full stops that end a sentence from those of an abbreviation, an ordinal, a number or a list marker.

The judgement hangs on the sentence so far and the word behind the stop alone, so that a sentence that is divided again
stays whole.
"""

import re

from simcrop.core.reports.abbreviations import (
    BEFORE_NUMBERS,
    BEFORE_ORDINALS,
    CARDINALS,
    NEVER_LAST,
    ORDINAL_NOUNS,
    SMALL_STARTERS,
    SOMETIMES_LAST,
    STARTERS,
    TERMINAL,
)
from simcrop.core.reports.script import WORD, holds_thai, is_cased, is_small, is_spoken, is_syllable

_LAST_WORD = re.compile(r"(?:[^\s(\[\"'“‘«（「]|(?<=[א-ת])\"|(?<=\w)['’](?=\w))+$")
_INITIAL = re.compile(r"[^\W\d_]\.")
_INITIALS = re.compile(r"(?:^|[\s(])[^\W\d_]{1,2}\.\s?[^\W\d_]$")
_ADDRESS = re.compile(r"[@\\]|://|^www\b", re.IGNORECASE)
_FILE_ENDING = re.compile(r"(?:com|org|net|edu|gov|html?|pdf|jpe?g|png|dcm|nii|docx?|csv|txt)\b", re.IGNORECASE)
_MEASURED = re.compile(r"\d+(?:[.,]\d+)?\s?(?:mm|cm|ml)\b|\d{1,2}\s+[^\W\d_]{2}")
_ORDINALS = re.compile(r"\d{1,2}(?:\.?[-–/]\d{1,2})*")
_MARKER = re.compile(r"^[ (（]*\d{1,2}$|[:：]\s*[(（]?1$")
_ROMAN = re.compile(r"[IVX]{1,4}\b")
_HEADING = re.compile(r"\W*\w[\w /]{1,30}[:：]\s*")
_ONE_STOP = re.compile(r"\.[^.?!…]*")
_PART_OF_ABBREVIATION = 3
_SURE_LETTERS = 4
_LOOK_BACK = 64
"""Characters among which the last words are looked for."""


def in_brackets(before: str) -> bool:
    """Whether a round bracket of the sentence so far is still open."""
    if "(" not in before and "（" not in before:
        return False
    depth = 0
    for character in before:
        if character in "(（":
            depth += 1
        elif character in ")）" and depth:
            depth -= 1
    return depth > 0


def ends_sentence(before: str, stop: str, after: str, *, is_spaced: bool) -> bool:
    """Whether a stop ends a sentence.

    Args:
        before: the sentence so far.
        stop: the mark or marks, with closing quotes and brackets.
        after: what follows, from its first letter or digit on.
        is_spaced: whether white space follows the stop.
    """
    word = _last_word(before).casefold()
    if not is_spaced and not _can_stand_without_space(before, word, stop, after):
        return False
    is_small_letter = _tells_nothing(before, after)
    if _goes_on(before, stop, after, is_small_letter):
        return False
    if stop != ".":
        # Behind "?" and "..." small letters go on; behind ".)" they may begin.
        return not is_small(after[0]) or (_ONE_STOP.fullmatch(stop) is not None and _word_ends(word, after, True))
    if _ORDINALS.fullmatch(word):
        return _number_ends(before, word, after, is_small_letter) and (is_spaced or is_cased(after[0]))
    is_letter = sum(map(str.isalpha, word)) == 1 and WORD.fullmatch(word) is not None
    is_number = after[0].isdigit() or (word != "no" and _ROMAN.match(after) is not None)
    if (is_letter and not _letter_ends(before, word, after)) or (is_number and word in BEFORE_NUMBERS):
        return False
    return _word_ends(word, after, is_small_letter)


def _goes_on(before: str, stop: str, after: str, is_small_letter: bool) -> bool:
    """Whether no sentence can begin here: in brackets, or in small letters where the sentence so far has a capital."""
    if is_small(after[0]) and _begins_with_capital(before) and _first_word(after) not in SMALL_STARTERS:
        return True  # behind an abbreviation that no table knows
    is_plain = after[0].isdigit() or (is_cased(after[0]) and not is_small_letter)
    return not is_plain and in_brackets(before + stop)


def _begins_with_capital(before: str) -> bool:
    """Whether the sentence so far begins with a capital, a heading left aside, so that the next one would too."""
    heading = _HEADING.match(before)
    opening = WORD.search(before, heading.end() if heading else 0) or WORD.search(before)
    return opening is not None and is_cased(opening[0][0]) and not is_small(opening[0][0])


def _first_word(after: str) -> str:
    found = WORD.match(after)
    return found[0] if found else ""


def _last_word(before: str) -> str:
    """The word that the stop stands at, without quotes and brackets in front; empty behind a space."""
    word = before[-_LOOK_BACK:].rpartition(" ")[2]
    if word.isalnum():
        return word
    found = _LAST_WORD.search(word)
    return found[0] if found else ""


def _tells_nothing(before: str, after: str) -> bool:
    """Whether the letter behind a stop is small, or a capital in a sentence of nothing but capitals."""
    if not is_cased(after[0]):
        return False
    return is_small(after[0]) or (not after[1:2].islower() and before.isupper())


def _word_ends(word: str, after: str, is_small_letter: bool) -> bool:
    """Whether a word can be the last one, by itself and by what follows."""
    if word in TERMINAL:
        return not is_small_letter
    if word in NEVER_LAST or word in SOMETIMES_LAST or _is_dotted(word):
        may_be_last = word in SOMETIMES_LAST or _is_dotted(word)
        return may_be_last and not is_small_letter and _is_starter(after)
    if is_small_letter:
        return len(word) >= 2 and (word not in BEFORE_NUMBERS or word == "no")
    return is_spoken(word) if holds_thai(word[-1:]) else True


def _number_ends(before: str, word: str, after: str, is_small_letter: bool) -> bool:
    # "12. 5 mm", "2. 3. and 4. ribs", the list marker "1. Nodule", the ordinals "2. Rib" and "der 5. Rippe".
    if after[0].isdigit() or _MARKER.search(before) or after.casefold().startswith(ORDINAL_NOUNS):
        return False
    previous = "".join(before[-_LOOK_BACK:].split()[-2:-1]).casefold().strip("(")
    if is_small_letter:
        return previous.rstrip(".") in CARDINALS
    return previous not in BEFORE_ORDINALS or _is_starter(after)


def _letter_ends(before: str, word: str, after: str) -> bool:
    """Whether a single letter can be the last word: "hepatitis B. The", not "z. B. Rundherd"."""
    first = after[0]
    if (
        _tells_nothing(before, after)
        or _INITIAL.match(after)
        or (_INITIALS.search(before[-_LOOK_BACK:]) and not _is_starter(after))
    ):
        return False
    if is_cased(first) or first.isdigit():
        return True
    return is_syllable(word[0])


def _can_stand_without_space(before: str, word: str, stop: str, after: str) -> bool:
    """Whether "clear.No effusion" may be two sentences: not in addresses, names of files, initials and numbers."""
    first = after[0]
    if _ADDRESS.search(word) or _FILE_ENDING.match(after):
        return False
    if stop[0] in "?!":
        return not is_small(first)
    if first.isdigit():
        return word.isalpha() and len(word) >= _SURE_LETTERS and _MEASURED.match(after) is not None
    if is_small(first):
        return not _begins_with_capital(before) and word.isalpha() and len(word) > 2 and after[1:2].isalpha()
    letters = sum(map(str.isalpha, word)) or (3 if word else 0)  # a number is like a word
    if not is_cased(first):
        return letters > 1 or is_syllable(word[-1:])
    # A capital goes on in small letters, or is a word; else it may be one of several initials.
    is_word = after[1:2].islower() or after[1:2].isspace() or after[1:2] in ("'", "’")
    return letters > 1 if is_word else letters > 2


def _is_dotted(word: str) -> bool:
    parts = word.split(".")
    return len(parts) > 1 and all(
        len(part) <= _PART_OF_ABBREVIATION and WORD.fullmatch(part) and part[0].isalpha() for part in parts
    )


def _is_starter(after: str) -> bool:
    return after[0].isupper() and _first_word(after).casefold() in STARTERS
