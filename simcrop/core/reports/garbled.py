"""Letters that were lost, or made into others, when a text was read in a wrong encoding."""

import re
from collections.abc import Sequence

_WORD = re.compile(r"[^\s.,;:()]+")
_READ_AS = (("cp1252", 2), ("cp1254", 2), ("cp1250", 2), ("cp1251", 4), ("cp1253", 4), ("gb18030", 6))
"""Code pages that UTF-8 is mistaken for, and the characters in a row that are no chance."""
_BEYOND = re.compile(r"[^\x00-\x7f]+")
_QUESTION = re.compile(r"(?<=[a-z])\?(?=[a-z])")
_MANY = 3
"""Question marks within words; a report may ask "nodule?metastasis" once."""


def garbled_word(text: str) -> str:
    """The first word of a text that a wrong encoding made; empty where there is none."""
    if "\ufffd" in text:
        return next(word for word in _WORD.findall(text) if "\ufffd" in word)
    if len(_QUESTION.findall(text)) >= _MANY:
        return next(word for word in _WORD.findall(text) if _QUESTION.search(word))
    if text.isascii():
        return ""
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    return next((found for page, least in _READ_AS if (found := _misread_word(words, page, least))), "")


def _misread_word(words: Sequence[str], code_page: str, least: int) -> str:
    """The first word that is UTF-8 read in a code page, where most of what is beyond ASCII is."""
    runs = [(word, run) for word in words for run in map(_without_quotes, _BEYOND.findall(word)) if run]
    misread = [word for word, run in runs if len(run) >= least and _is_utf8_of(run, code_page)]
    return misread[0] if 2 * len(misread) > len(runs) else ""


def _without_quotes(run: str) -> str:
    return run.strip("«»‹›„“”‘’")


def _is_utf8_of(run: str, code_page: str) -> bool:
    try:
        return len(run.encode(code_page).decode("utf-8")) < len(run)
    except UnicodeError:
        return False
