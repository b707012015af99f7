"""The one rule for cells of tables, whatever the column and the data set: blanks, labels, identifiers."""

import re
import unicodedata
from functools import lru_cache

_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"
"""Characters of no width that web pages and exports leave beside a value; str.strip keeps them."""
_EDGES = re.compile(rf"\A[\s{_INVISIBLE}]+|[\s{_INVISIBLE}]+\Z")
_HIDDEN = re.compile(rf"[\s{_INVISIBLE}]+")
_BLANK_WORDS = r"""
    nan -nan +nan nat na n/a n.a. n.a none null nil <na> <nan> <null> <none> (null) (blank) (none) (empty) \n unknown
    unk missing undefined #n/a #na #nv #n/d #n/b #yok #null! #ref! #name? #value! #div/0! #num! 1.#qnan -1.#qnan
    1.#ind -1.#ind
"""
"""Behind # stands what spreadsheets show, in their users' languages, for a value that is absent or went wrong."""
_BLANK = frozenset(_BLANK_WORDS.split()) | {"", "#n/a n/a"}
_MARKS_ALONE = re.compile(r"[-–—−_.?*]+|#{3,}")
"""Dashes, dots and question marks that stand for nothing; a spreadsheet's ##### is a column too narrow to show."""
_LONGEST_BLANK = 16
_YES_WORDS = """
    1 yes y true present positive pos + ++ +++ ja j wahr oui vrai présent positif sí si sì verdadero presente positivo
    sim verdadeiro vero positiv waar aanwezig tak prawda dodatni ano pravda igen igaz evet doğru var pozitif да истина
    есть ναι αληθής 是 有 阳性 陽性 はい あり 예 있음 양성 نعم صح כן हाँ हां ใช่ มี kyllä tosi sant sann sandt da
    adevărat так істина checked detected
"""
_NO_WORDS = """
    0 no n false absent negative neg nein falsch non faux négatif falso ausente negativo não nao negativ nee onwaar
    afwezig nie fałsz ujemny ne nepravda nem hamis hayır hayir yanlış yok negatif нет ложь όχι ψευδής 否 无 無 阴性
    陰性 いいえ なし 아니오 아니요 없음 음성 لا לא नहीं ไม่ใช่ ไม่มี ei epätosi nej falskt falsk usant nu ні хибність
    unchecked undetected
"""
_UNSURE_WORDS = "uncertain unclear equivocal indeterminate unsicher unklar incertain dudoso incerto -1 -1.0 -1,0"
_YES, _NO, _UNSURE = (frozenset(words.split()) for words in (_YES_WORDS, _NO_WORDS, _UNSURE_WORDS))
_WHOLE = re.compile(r"\+?(\d+)(?:[.,]0*)?")
_DASHES = frozenset("-–—−")
_RUINED = re.compile(r"[-+]?\d+(?:[.,]\d+)?E[-+]?\d+", re.IGNORECASE)
_DECIMAL = re.compile(r"(\d+)[.,]0+")
_EXACT_DIGITS = 15
"""Digits of a number that a spreadsheet keeps; it makes zeros of those behind."""


def trimmed(cell: str) -> str:
    """A cell without the spaces, of whatever width, at its ends."""
    text = cell.strip()
    return _EDGES.sub("", text) if text and (text[0] in _INVISIBLE or text[-1] in _INVISIBLE) else text


def is_blank(cell: str) -> bool:
    """Whether a cell says nothing: it is empty, or spells that as spreadsheets, pandas, R, databases and people do."""
    text = trimmed(cell)
    return (len(text) <= _LONGEST_BLANK and text.casefold() in _BLANK) or _MARKS_ALONE.fullmatch(text) is not None


def filled(cell: str) -> str:
    """A cell without spaces at its ends; empty where it is blank."""
    return "" if is_blank(cell) else trimmed(cell)


@lru_cache(maxsize=4096)
def as_label(cell: str, *, dash_is_no: bool = False) -> int | None:
    """0 or 1 where a cell spells no or yes in one of many languages; None for anything else.

    Args:
        cell: of a column of labels.
        dash_is_no: whether a dash is the negative of a plus rather than a blank; the column's other cells tell.
    """
    text = unicodedata.normalize("NFC", trimmed(cell)).casefold()
    if dash_is_no and text in _DASHES:
        return 0
    number = _WHOLE.fullmatch(text)
    text = (number[1].lstrip("0") or "0") if number is not None else text
    return 1 if text in _YES else 0 if text in _NO else None


def is_unsure(cell: str) -> bool:
    """Whether a cell of a label column says that nobody knows: blank, a word for it, or -1 as CheXpert writes it."""
    return is_blank(cell) or trimmed(cell).casefold() in _UNSURE


def same_form(identifier: str) -> str:
    """An identifier in the one Unicode form, so that what looks the same on every screen is the same."""
    return unicodedata.normalize("NFC", trimmed(identifier))


def same_name(identifier: str) -> str:
    """An identifier without what people, exports and spreadsheets change in it: case, spaces, width, a decimal .0."""
    text = _HIDDEN.sub("", unicodedata.normalize("NFKC", identifier)).casefold()
    whole = _DECIMAL.fullmatch(unicodedata.normalize("NFKC", text))
    return whole[1] if whole is not None else text


def is_ruined(identifier: str) -> bool:
    """Whether a spreadsheet made a number of an identifier, and lost some of it: 1.2E+04, 12345.0, 17 digits."""
    text = trimmed(identifier)
    if text.isdecimal():
        return len(text) > _EXACT_DIGITS and not text[_EXACT_DIGITS:].strip("0")
    return any(form.fullmatch(text) for form in (_RUINED, _DECIMAL))
