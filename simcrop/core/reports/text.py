"""Report text: cleaning, splitting into sentences, keys that recognise repeats (docs/method.md, section 8).

The rules are our own, on the standard library; docs/adr/0009-sentences.md says why.
"""

import re

from simcrop.core.randomness import derive_seed
from simcrop.core.reports.fillers import is_filler
from simcrop.core.reports.fragments import fragments
from simcrop.core.reports.items import clauses, numbered
from simcrop.core.reports.lines import paragraphs
from simcrop.core.reports.markup import without_markup
from simcrop.core.reports.script import length

_SPACES = re.compile(r"[^\S\n]{2,}|[^\S\n ]")
_LINE_BREAKS = re.compile(r" ?\n ?(?:\n ?)+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufeff\u200b]")
_SOFT_HYPHEN = re.compile(r"\xad(?:\r?\n)?")
_QUOTE = re.compile(r'"(?![א-ת])|(?<![א-ת])"')
_QUOTE_INSIDE = re.compile(r'(?<=[\w.,:\\&<])(?<![א-ת])"(?=\w|[.,:]\d)')
_MARKER = re.compile(r"[\W_]*\d{1,2}[.)、．]?[\W_]*")
_UNSURE = re.compile(r"^[\W_]|[0-9][.)）、．].*[0-9][.)）、．]|[①-⑳]")
"""A bullet or a list that came to stand at the start, or inside, may be divided once more."""
_HEADING_WORDS, _HEADING_LETTERS = 4, 8
"""A heading has no more; what is longer and ends with a colon says something."""


def clean(text: str) -> str:
    """Text of a report without markup, control characters, surplus white space and stray quotes; a filler becomes "".

    Line breaks stay, since they separate sentences.

    Source: docs/method.md, sections 5.1 and 8.
    """
    text = without_markup(text)
    text = _without_stray_quotes(_without_surplus_space(_CONTROL.sub(" ", _SOFT_HYPHEN.sub("", text))))
    text = _without_surplus_space(text)
    return "" if is_filler(text) else text


def split_sentences(text: str) -> list[str]:
    """Sentences of a report, in order.

    A sentence ends at a stop of its script, at a bullet, at a line break that does not merely wrap, and at semicolons
    that take the place of stops; never after a known abbreviation, inside a number or inside an enumeration. A fragment
    without a letter joins its neighbour, and a heading what it heads.

    Returns:
        Sentences with single spaces and without bullets and markup. Together they hold every letter and digit of `text`
        once. Each of them, split again, is itself.

    Source: docs/method.md, section 8. The rule of the paper's authors is `published.sentence_ends`.
    """
    sentences: list[str] = []
    waiting = _split_once(text)[::-1]
    while waiting:
        sentence, is_sure = waiting.pop()
        parts = [] if is_sure else _split_once(sentence)
        if is_sure or [part for part, _ in parts] == [sentence]:
            sentences.append(sentence)
        else:
            waiting.extend(parts[::-1])
    return sentences


def sentences_of(text: str) -> list[str]:
    """The sentences of a part of a report, cleaned: the numbering that tokens, features and masks go by."""
    return split_sentences(clean(text))


def sentence_key(text: str) -> int:
    """Stable hash in [0, 2**63) of a sentence, equal for sentences that differ in case and white space only."""
    return derive_seed("sentence", " ".join(text.casefold().split()))


def _split_once(text: str) -> list[tuple[str, bool]]:
    """The sentences of a text, and of each whether it stands there as it is, so that it would not be divided again."""
    text = _without_surplus_space(without_markup(text))
    parts: list[str] = []
    whole: set[str] = set()
    for paragraph in paragraphs(text):
        for item in numbered(paragraph):
            for fragment in fragments(item):
                found = list(clauses(fragment))
                parts += found
                if len(found) == 1:
                    whole.add(fragment.strip())
    return [(sentence, sentence in whole and not _UNSURE.search(sentence)) for sentence in _joined(parts)]


def _without_surplus_space(text: str) -> str:
    """Text with single spaces, line breaks kept, and at most one blank line."""
    text = _SPACES.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
    return (_LINE_BREAKS.sub("\n\n", text) if "\n" in text else text).strip()


def _joined(parts: list[str]) -> list[str]:
    """Parts as sentences; those without a letter join the one before, list markers and headings the one behind."""
    sentences: list[str] = []
    waiting = ""
    for part in parts:
        sentence = " ".join(_without_stray_quotes(part).split())
        if not any(map(str.isalnum, sentence)):
            continue
        sentence = f"{waiting} {sentence}".strip()
        waiting = ""
        if _is_heading(sentence):
            waiting = sentence
        elif any(map(str.isalpha, sentence)):
            sentences.append(sentence)
        elif not sentences or _MARKER.fullmatch(sentence):
            waiting = sentence
        else:
            sentences[-1] += f" {sentence}"
    if waiting and sentences:
        sentences[-1] += f" {waiting}"
    elif waiting:
        sentences.append(waiting)
    return sentences


def _is_heading(sentence: str) -> bool:
    if not sentence.endswith((":", "：")):
        return False
    size = length(sentence)
    return size.words <= _HEADING_WORDS and size.letters <= _HEADING_LETTERS


def _without_stray_quotes(text: str) -> str:
    """Text without double quotes that wrap all of it or have no partner; one inside a Hebrew word is none."""
    if '"' not in text:
        return text
    quotes = _QUOTE.findall(text)
    if len(quotes) % 2 == 1:
        return _QUOTE.sub("", _QUOTE_INSIDE.sub(" ", text)).strip()
    if len(quotes) == 2 and text[0] == text[-1] == '"':
        return text[1:-1].strip()
    return text
