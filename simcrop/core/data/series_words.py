"""Words in the header of a series: soft tissue or lung, and whether it is called another part than the chest."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

KernelKind = Literal["soft", "lung", ""]
"""Smooth, for soft tissue; sharp, for lung and bone; or unknown."""

_NUMBERED = re.compile(r"[BDHIJQTU][A-Z]{0,2}(\d{2})[A-Z]*")
"""Siemens: B31f, I70f, Br40d, Bl57, Qr36; the number grows with sharpness."""
_SHARP_FROM = 50
_CANON = re.compile(r"FC(\d{2})")
_CANON_SOFT = range(1, 20)
_PLAIN: dict[str, KernelKind] = {
    **dict.fromkeys(("A", "B", "C", "SA", "SB", "SC"), "soft"),
    **dict.fromkeys(("D", "E", "L", "Y", "YA", "YB", "YC", "YD", "YE"), "lung"),
}
"""Philips."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_LUNG = _words(
    "lung bone edge sharp vsharp chst hrct pulmo poumon parenchym lunge pulmon polmon akciger longen pluc легк "
    "肺 폐 ريه πνευμ"
)
"""Beginnings of words, in small letters without accents."""
_SOFT = _words(
    "soft standard stnd std smooth mediast weichteil weich molle blando blanda molli mole mols yumusak wekedelen "
    "miekki mlecz мягк средост 軟部 软组织 縦隔 纵隔 종격"
)
_WORD = re.compile(r"[^\W\d_]+")

_CHEST = _words(
    "chest thora toraks torax lung pulmo poumon polmon akciger longen pluc brust hrct cap tap klatk груд легк "
    "θωρα 胸 肺 흉부 폐"
)
_WHOLE_WORDS = frozenset({"cap", "tap", "std", "abd"})
"""Short enough to be the beginning of other words."""
_OTHER = _words(
    "head brain skull crani kopf schadel schaedel cerebr cabeza testa tete beyin kafa голов "
    "neck hals cervic cuello collo boyun sinus orbit dental jaw maxil temporal petrous "
    "abd abdom bauch batin karin брюш pelvi becken hip liver kidney renal colon prostat "
    "spine lumb wirbel omurga columna rachis vertebr knee foot ankle wrist hand elbow shoulder extremit femur tibia "
    "頭 头颅 腹 骨盤 두부 복부"
)


def kernel_kind(kernel: str, description: str = "") -> KernelKind:
    """Soft tissue or lung, by a convolution kernel; by the series' description where the kernel tells nothing.

    Args:
        kernel: as a header has it, with its parts between backslashes.
        description: of the series.
    """
    for part in re.split(r"[\\\s]+", kernel.upper()):
        if (numbered := _NUMBERED.fullmatch(part)) is not None:
            return "lung" if int(numbered[1]) >= _SHARP_FROM else "soft"
        if (canon := _CANON.match(part)) is not None:
            return "soft" if int(canon[1]) in _CANON_SOFT else "lung"
        if part in _PLAIN:
            return _PLAIN[part]
    for text in (kernel, description):
        found = {kind for kind, beginnings in (("soft", _SOFT), ("lung", _LUNG)) if _first_word(text, beginnings)}
        if found:
            return "soft" if found == {"soft"} else "lung" if found == {"lung"} else ""
    return ""


def other_part(description: str, around: Iterable[str] = ()) -> str:
    """The word by which a series is called another part of the body; empty where it is called a chest, or nothing.

    Args:
        description: of the series. Where it names a part, this is the part: a study of the chest may have an abdomen.
        around: body part, and description of the study, which are filled in for all series of a protocol.
    """
    for texts in ([description], [*around]):
        if any(_first_word(text, _CHEST) for text in texts):
            return ""
        word = next((word for text in texts if (word := _first_word(text, _OTHER))), "")
        if word:
            return word
    return ""


def _first_word(text: str, beginnings: Iterable[str]) -> str:
    """The first word that begins as one of these, in any case and without its accents."""
    for word in _WORD.findall(text):
        plain = _without_accents(word)
        for beginning in beginnings:
            is_meant = plain == beginning if beginning in _WHOLE_WORDS else plain.startswith(beginning)
            if is_meant or (not beginning.isascii() and beginning in plain):
                return word
    return ""


def _without_accents(word: str) -> str:
    parts = unicodedata.normalize("NFD", word.casefold().replace("ı", "i"))
    return unicodedata.normalize("NFC", "".join(c for c in parts if not "\u0300" <= c <= "\u036f"))
