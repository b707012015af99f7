"""Texts that stand for nothing, in many languages: "Not given.", "k. A.", a lone dash."""

import re
import unicodedata

from simcrop.core.data.cells import is_blank

_FILLERS = """
    na|n a|nan|none|null|not given|not available|not applicable|not reported
    k a|keine angabe|keine angaben|nicht angegeben|nicht verfügbar|entfällt
    non renseigné|non renseignée|non précisé|non disponible|sans objet|néant
    no disponible|no informado|no consta|no aplica|sin datos|n d|nd|s d
    non disponibile|non riportato|non indicato|não informado|não disponível|não se aplica
    niet opgegeven|niet beschikbaar|niet van toepassing|n v t|nvt
    belirtilmemiş|belirtilmedi|mevcut değil|veri yok
    nie podano|brak danych|nie dotyczy|n d b
    нет данных|не указано|не предоставлено|δεν αναφέρεται|μη διαθέσιμο|δ α
    无|無|未提供|未填写|不详|暂无|なし|無し|記載なし|該当なし|없음|해당 없음|기재 없음
    لا يوجد|غير متوفر|غير مذكور|לא צוין|לא נמסר|אין נתונים
    उपलब्ध नहीं|लागू नहीं|ไม่มี|ไม่ระบุ|ไม่มีข้อมูล|არ არის მითითებული|მონაცემები არ არის
"""
_NOT_WORD = re.compile(r"[\W_]+")


def _plain(text: str) -> str:
    """A text without marks and signs, in small letters."""
    return _NOT_WORD.sub(" ", unicodedata.normalize("NFKC", text)).strip().casefold()


_KNOWN = frozenset({"", *map(_plain, re.split(r"[|\n]", _FILLERS))})
_LONGEST = 2 * max(map(len, _KNOWN))


def is_filler(text: str) -> bool:
    """Whether a text says nothing, like "Not given." or a lone dash."""
    # Of a long one the beginning tells, so that no report is normalised to its end.
    is_short = len(text) <= _LONGEST or not any(map(str.isalnum, text))
    return is_blank(text) or (is_short and _plain(text) in _KNOWN)
