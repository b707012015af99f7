"""Letters and words by script: not every script has capitals, or puts spaces between words."""

import re
from dataclasses import dataclass

_UNSPACED = (
    "\u0e00-\u0e3e\u0e40-\u0e4e"  # Thai
    "\u0e80-\u0eff\u1000-\u1049\u1780-\u17d3"  # Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
# A mark belongs to the letter before it, though Python's \w does not know it.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05f3\u05f4\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0900-\u0963\u0966-\u0d7f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
    "\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd\u102b-\u103e\u17b4-\u17d3\u200c\u200d\u3099\u309a"
)
_HAN_KANA_HANGUL = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(f"[^\\W_](?:[^\\W_]|[{_MARKS}])*")
"""A run of letters, digits and their marks; of a script without spaces, all that stands together."""
_UNSPACED_LETTERS = re.compile(f"[{_UNSPACED}]")
_SYLLABLE = re.compile(f"[{_HAN_KANA_HANGUL}]")
_THAI = re.compile("[\u0e01-\u0eff]")
_THAI_VOWEL = re.compile("[\u0e30-\u0e3a\u0e40-\u0e4e\u0eb0-\u0ebc\u0ec0-\u0ecd]")


@dataclass(frozen=True)
class Length:
    """Length of a text.

    Attributes:
        words: those that spaces divide, numbers included.
        letters: those of scripts without spaces between words, none of which is among the words.
    """

    words: int
    letters: int

    def __str__(self) -> str:
        parts = [f"{self.words} words"] if self.words or not self.letters else []
        return " and ".join([*parts, f"{self.letters} letters"] if self.letters else parts)


def length(text: str) -> Length:
    """The length of a text in the units of its scripts."""
    letters = 0
    if holds_unspaced(text):
        letters = sum(map(str.isalpha, _UNSPACED_LETTERS.findall(text)))
        text = _UNSPACED_LETTERS.sub(" ", text)
    words = sum(any(map(str.isalnum, word)) for word in text.split())
    return Length(words, letters)


def holds_unspaced(text: str) -> bool:
    """Whether a text has letters of a script that puts no space between words."""
    return not text.isascii() and _UNSPACED_LETTERS.search(text) is not None


def is_cased(letter: str) -> bool:
    """Whether a letter has a capital that texts begin sentences with; Georgian has capitals for headings alone."""
    return (letter.islower() or letter.isupper() or letter.istitle()) and not "\u10a0" <= letter <= "\u10ff"


def is_small(letter: str) -> bool:
    """Whether a letter is no capital where it could be one."""
    return letter.islower() and is_cased(letter)


def is_syllable(letter: str) -> bool:
    """Whether a letter may be a word by itself: Han, Kana and Hangul."""
    return _SYLLABLE.match(letter) is not None


def holds_thai(text: str) -> bool:
    """Whether a text has letters of Thai or Lao, where spaces end phrases and stops end abbreviations."""
    return not text.isascii() and _THAI.search(text) is not None


def is_spoken(word: str) -> bool:
    """Whether a Thai or Lao word has vowels or tones; abbreviations are consonants alone."""
    return _THAI_VOWEL.search(word) is not None
