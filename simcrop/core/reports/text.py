"""Report text: cleaning, splitting into sentences, keys that recognise repeats (docs/method.md, section 8)."""

import re

from simcrop.core.data.cells import is_blank
from simcrop.core.randomness import derive_seed

_FILLERS = frozenset(
    {"", "na", "n a", "nan", "none", "null", "not given", "not available", "not applicable", "not reported"}
)
_NEVER_LAST = """
    abd anat ant approx art bilat ca cf diam diff dr e.g eg esp etc ext i.e incl inf lab lat lig med mr mrs n.b obs
    parench phys post prof prox r/o resp rt sag st sup susp tbc vs
"""
_NEVER_LAST_BEFORE_NUMBERS = "fig figs im img max min no nos nr se segm ser vol"
_ABBREVIATIONS = frozenset(_NEVER_LAST.split())
_BEFORE_NUMBERS = frozenset(_NEVER_LAST_BEFORE_NUMBERS.split())
_ORDINAL_NOUNS = ("rib", "costa", "vertebra", "segment", "intercostal")
_SPACES = re.compile(r"[^\S\n]+")
_LINE_BREAKS = re.compile(r" ?\n ?(?:\n ?)+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufeff\u200b]")
_NOT_WORD = re.compile(r"[\W_]+")
# A place where a sentence may end: a mark with its closing quotes or brackets, a blank line, or a bullet.
_BREAK = re.compile(
    r"""(?<![.?!])(?P<stop>[.?!]++["'”’»)\]]*)\s+(?=["'“‘«(\[]*(?P<next>\w))"""
    r"""|(?P<stop_bullet>[.?!]["'”’»)\]]*|\n|^|[:;])\s*[-–—*·]\s+(?=\S)"""
    r"""|\s*[•▪●‣◦]\s*"""
    r"""|\s*\n\s*(?:\n\s*|(?=\d{1,2}[.)]\s))"""
)
_LAST_WORD = re.compile(r"[^\s(\[\"'“‘«]+$")
_MARKER = re.compile(r"[\W_]*\d{1,2}[.)]?[\W_]*")


def clean(text: str) -> str:
    """Text of a report without control characters, surplus white space and stray quotes; a filler becomes "".

    Line breaks stay, since a bullet at the start of a line separates sentences.

    Source: docs/method.md, sections 5.1 and 8.
    """
    text = _without_stray_quotes(_without_surplus_space(_CONTROL.sub(" ", text)))
    text = _without_surplus_space(text)
    return "" if is_filler(text) else text


def is_filler(text: str) -> bool:
    """Whether a text says nothing, like "Not given." or a lone dash."""
    return is_blank(text) or _NOT_WORD.sub(" ", text).strip().casefold() in _FILLERS


def split_sentences(text: str) -> list[str]:
    """Sentences of a report, in order.

    A sentence ends at [.?!] with closing quotes or brackets, where white space and an upper-case letter or a digit
    follow, at a bullet and at a blank line; never after a known abbreviation, inside a number or inside an
    enumeration. A fragment without a letter joins its neighbour.

    Returns:
        Sentences with single spaces and without bullets. Together they hold every letter and digit of `text` once.

    Source: docs/method.md, section 8. Not reproduced: the paper ends sentences at every full stop that is not between
    digits, and drops the rest.
    """
    text = _without_surplus_space(text)
    fragments: list[str] = []
    start = 0
    for match in _BREAK.finditer(text):
        stop = match["stop"]
        if stop is not None and not _ends_sentence(text[start : match.start()], stop, text[match.start("next") :]):
            continue
        fragments.append(text[start : match.end("stop") if stop is not None else _bullet_start(match)])
        start = match.end()
    fragments.append(text[start:])
    return _joined(fragments)


def sentences_of(text: str) -> list[str]:
    """The sentences of a part of a report, cleaned: the numbering that tokens, features and masks go by."""
    return split_sentences(clean(text))


def sentence_key(text: str) -> int:
    """Stable hash in [0, 2**63) of a sentence, equal for sentences that differ in case and white space only."""
    return derive_seed("sentence", " ".join(text.casefold().split()))


def _without_surplus_space(text: str) -> str:
    """Text with single spaces, line breaks kept, and at most one blank line."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _LINE_BREAKS.sub("\n\n", _SPACES.sub(" ", text)).strip()


def _bullet_start(match: re.Match[str]) -> int:
    return match.end("stop_bullet") if match["stop_bullet"] is not None else match.start()


def _ends_sentence(before: str, stop: str, after: str) -> bool:
    """Whether the mark `stop` between the sentence so far and what follows ends the sentence."""
    if not (after[0].isupper() or after[0].isdigit()):
        return False
    if stop != ".":
        return True
    last = _LAST_WORD.search(before)
    word = last[0].casefold() if last else ""
    if word in _ABBREVIATIONS or (word in _BEFORE_NUMBERS and after[0].isdigit()):
        return False
    if not (word.isdigit() and len(word) <= 2):
        return True
    # "12. 5 mm", "2. 3. and 4. ribs", the list marker "1. Nodule" and the ordinal "2. Rib".
    is_marker = before.strip() == word
    return not (after[0].isdigit() or is_marker or after.casefold().startswith(_ORDINAL_NOUNS))


def _joined(fragments: list[str]) -> list[str]:
    """Fragments as sentences; those without a letter join the one before, list markers the one behind."""
    sentences: list[str] = []
    waiting = ""
    for fragment in fragments:
        sentence = " ".join(_without_stray_quotes(fragment).split())
        if not any(c.isalnum() for c in sentence):
            continue
        sentence = f"{waiting} {sentence}".strip()
        waiting = ""
        if any(c.isalpha() for c in sentence):
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


def _without_stray_quotes(text: str) -> str:
    """Text without double quotes that wrap all of it or have no partner."""
    if text.count('"') % 2 == 1:
        return text.replace('"', "").strip()
    if len(text) >= 2 and text[0] == text[-1] == '"' and text.count('"') == 2:
        return text[1:-1].strip()
    return text
