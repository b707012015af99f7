"""The encoding of a text that a spreadsheet saved: UTF-8, UTF-16, or the one code page that explains its letters.

Excel saves "CSV" in the code page of its Windows, and nothing in the file says which that was. A code page is believed
where it makes words of a language out of every byte, and no other one makes other words. Statistics of letters go wrong
on tables as short as a few reports.
"""

import codecs
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from simcrop.core.data.problems import BadFileError, OnProblem, bad_file, noted

_LATIN: Mapping[str, Mapping[str, str]] = {
    "cp1252": {
        "German": "äüöß", "French": "éàâæçèêëîïôœùûüÿ", "Spanish": "óáéíñúü", "Portuguese": "ãçáàâéêíóôõú",
        "Italian": "àèéìòù", "Dutch": "ëéáèíïóöúü", "Swedish or Finnish": "äöå", "Danish or Norwegian": "øåæé",
        "Icelandic": "íðáéóúýþæö", "Catalan": "àóèéíïòúüç",
    },
    "cp1250": {
        "Polish": "łąęćńóśźż", "Czech": "íáčďéěňóřšťúůýž", "Slovak": "áíäčďéľňóôšťúýž", "Hungarian": "áéíóöőúüű",
        "Croatian or Slovene": "čšžćđ", "Romanian": "ăţâîş",
    },
    "cp1254": {"Turkish": "ıüçğöşâîû\u0307"},
    "cp1257": {"Lithuanian": "ėšąčęįųūž", "Latvian": "āīčēģķļņšūž", "Estonian": "äõöü"},
}  # fmt: skip
"""Code page -> language -> its letters beyond ASCII; a text of some length has one of the first two."""
_SCRIPTS: Mapping[str, tuple[str, str, str, str]] = {
    "cp1251": ("Cyrillic", "\u0400-\u04ff", r"[А-Яыьэюяіїєђћљњ]", r"(?!)"),
    "cp1253": ("Greek", "\u0370-\u03ff", r"[άέήίόύώΐΰϊϋ]", r"ς[α-ώ]"),
    "cp1255": ("Hebrew", "\u0590-\u05ff", r"[א-ת]", r"[ךםןףץ][א-ת]"),
    "cp1256": ("Arabic", "\u0600-\u06ff", r"[اأإ]", r"[ىة][ء-ي]"),
    "cp874": ("Thai", "\u0e00-\u0e7f", r"[ก-ฮ]{2}", r"[\u0e30-\u0e4e]{4}"),
}
"""Code page -> script, its letters as a range, what no text of some length lacks, and what no word of it has."""
_WIDE: Mapping[str, tuple[str, str]] = {
    "cp932": ("Japanese", "\u3040-\u30ff"),
    "euc_kr": ("Korean", "\uac00-\ud7a3"),
    "gb2312": ("Chinese", "\u4e00-\u9fff"),
    "big5": ("Chinese", "\u4e00-\u9fff"),
}
_LEAST_OWN = {"cp932": 0.3, "euc_kr": 0.9, "gb2312": 0.7, "big5": 0.7}
"""Share of the characters beyond ASCII that are of the script itself."""
_COMMON_LEADS = {"gb2312": range(0xB0, 0xD8), "big5": range(0xA4, 0xC7)}
"""First bytes of the characters that these two code pages call common, and put first."""
_LEAST_COMMON = 0.8
_WITH_RARE = {"gb2312": "gb18030"}
"""What is written for a standard today: it has rare signs and names too, such as ㎜."""
_LEAST_STANDARD = 0.9
"""Share of a script's characters that are in the standard; of texts in another code page about half are."""
_SYMBOLS = "°±²³×·•…–—‘’“”„‚«»‹›€£§½¼¾®©™¿¡´¨ºª†‡%‰µ\xa0\xad\n\r\t"
_SYMBOL_INSIDE = re.compile(r"[a-z][°±²³×•…„“”‚‘«‹€£§½¼¾®©™¿¡¨†‡‰µ][a-z]", re.IGNORECASE)
_FEW_LETTERS = 10
"""Of so many letters beyond ASCII, some are among the commonest of their language."""
_START, _CHUNK, _SHOWN = 4096, 1 << 20, 4
_MOST_BYTES = 1 << 26
"""Of a table in a code page: what is further behind is read as what comes before."""
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip


def find_encoding(path: Path, on_problem: OnProblem) -> str:
    """The name of a file's encoding, as `open` takes it.

    Args:
        path: the text.
        on_problem: is told, as a note, of a code page that was found out.

    Raises:
        BadFileError: its bytes are no text, or text of several encodings alike.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_START)
    for mark, name in _BOMS:
        if start.startswith(mark):
            return name
    if (wide := _without_mark(start)) is not None:
        return wide
    try:
        for chunk in _chunks(path, codecs.getincrementaldecoder("utf-8")("strict")):
            del chunk
    except UnicodeDecodeError as error:
        return _code_page(path, error, on_problem)
    return "utf-8"


def _chunks(path: Path, decoder: codecs.IncrementalDecoder) -> Iterator[str]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)


def _without_mark(start: bytes) -> str | None:
    """UTF-16 without its mark: of Latin text every other byte is 0."""
    for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = start[offset::2], start[1 - offset :: 2]
        if len(start) > 4 and zeros.count(0) > 0.6 * len(zeros) and others.count(0) < 0.05 * len(others):
            return name
    return None


def _code_page(path: Path, error: UnicodeDecodeError, on_problem: OnProblem) -> str:
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES)
    if _is_damaged_utf8(data) or b"\0" in data:
        return "utf-8"  # whoever reads it tells where it ends
    found = _explained(data)
    texts: dict[str, tuple[str, str]] = {}
    for name, (language, text) in found.items():
        texts.setdefault(text, (name, language))
    line = data.count(b"\n", 0, _first_beyond(data)) + 1
    if len(texts) == 1:
        name, _ = next(iter(texts.values()))
        message = f"is no UTF-8; it was read as {name}, the one code page that explains its letters"
        on_problem(noted(path, "text.encoding", message, encoding=name, line=line))
        return name
    if texts:
        words = [f"{name} ({language}: {_word_beyond(text)!r})" for text, (name, language) in texts.items()]
        raise _refusal(path, line, f"may be {' or '.join(words[:_SHOWN])}")
    raise _refusal(path, line, f"is in no encoding that its letters tell ({_reason(error)})")


def _reason(error: UnicodeDecodeError) -> str:
    return f"the byte 0x{error.object[error.start]:02x}"


def _refusal(path: Path, line: int, what: str) -> BadFileError:
    return bad_file(path, "text.encoding", f"cannot be read as CSV in UTF-8 from line {line} on, and {what}", line=line)


def _first_beyond(data: bytes) -> int:
    return next(match.start() for match in re.finditer(rb"[\x80-\xff]", data))


def _word_beyond(text: str) -> str:
    match = re.search(r"\w*[^\W\x00-\x7f]\w*", text)
    return match[0][:20] if match is not None else ""


def _is_damaged_utf8(data: bytes) -> bool:
    """Whether bytes beyond ASCII are UTF-8 for the most part: a few of them are damaged, or cut off."""
    wrong = data.decode("utf-8", "replace").count("\ufffd")
    right = sum(
        1 for _ in re.finditer(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}", data)
    )
    return right > 2 * wrong


def _explained(data: bytes) -> dict[str, tuple[str, str]]:
    """Code page -> (language, text), of those that make words of all of it."""
    found = {name: (language, text) for name, language, text in (*_wide(data), *_single(data))}
    if not found:  # a phrase that comes in every report makes any letter common
        found = {name: (language, text) for name, language, text in _single(data, counts_words_once=True)}
    if "cp949" in found:  # Hangul fills a part of the table that Chinese text of any length leaves
        found.pop("gb18030", None)
    return found


def _decoded(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except UnicodeDecodeError:
        return None


def _single(data: bytes, *, counts_words_once: bool = False) -> Iterator[tuple[str, str, str]]:
    for name, languages in _LATIN.items():
        text = _decoded(data, name)
        if text is not None and _are_latin_words(text):
            counted = " ".join(set(text.split())) if counts_words_once else text
            for language, letters in languages.items():
                if _is_in(counted, letters):
                    yield name, language, text
                    break
    for name, (script, *signs) in _SCRIPTS.items():
        text = _decoded(data, name)
        if text is not None and _are_words_of(text, *signs):
            yield name, script, text


def _are_latin_words(text: str) -> bool:
    """No symbol that no report has, none inside a word but an apostrophe, and no heap of letters beyond ASCII."""
    strange = {c for c in set(text) if not c.isascii() and not c.isalpha() and c not in _SYMBOLS}
    if any(a.islower() and b.isupper() and not b.isascii() for a, b in pairwise(text)):
        return False
    return not strange and _SYMBOL_INSIDE.search(text) is None and re.search(r"[^\W\x00-\x7f_ºªµ]{4}", text) is None


def _is_in(text: str, letters: str) -> bool:
    used = [c for c in text if not c.isascii() and c.isalpha() and c not in "ºªµ"]
    beyond = {part for c in set(used) for part in c.lower()}
    return beyond <= set(letters) | {"i"} and (len(used) < _FEW_LETTERS or not beyond.isdisjoint(letters[:2]))


def _are_words_of(text: str, letters: str, needed: str, wrong: str) -> bool:
    """All letters beyond ASCII are of a script, in words of more than two letters, none of them with Latin ones."""
    beyond = [c for c in text if not c.isascii() and c not in _SYMBOLS and c not in "№،؛؟"]
    own = [c for c in beyond if re.match(f"[{letters}]", c)]
    words = re.findall(f"[{letters}]+", text)
    is_mixed = re.search(f"[A-Za-z][{letters}]|[{letters}][A-Za-z]|{wrong}", text) is not None
    is_cased = any(a.islower() and b.isupper() for word in words for a, b in pairwise(word))
    if is_mixed or is_cased or not len(own) == len(beyond) > 2 * len(words):
        return False
    return len(own) < _FEW_LETTERS or re.search(needed, text) is not None


def _wide(data: bytes) -> Iterator[tuple[str, str, str]]:
    for name, (language, letters) in _WIDE.items():
        written = _WITH_RARE.get(name, name)
        text = _decoded(data, written)
        if text is None:
            continue
        beyond = [c for c in text if not c.isascii()]
        own = [c for c in beyond if re.match(f"[{letters}]", c)]
        kana = sum("\u3040" <= c <= "\u30ff" for c in beyond)
        is_japanese = name == "cp932" or kana <= 0.1 * len(beyond)
        halves = any("\uff61" <= c <= "\uff9f" for c in beyond)
        if len(own) >= _LEAST_OWN[name] * len(beyond) and is_japanese and not halves and _are_common(own, name):
            yield ("cp949" if name == "euc_kr" else written), language, text


def _are_common(own: list[str], name: str) -> bool:
    """Whether characters are in the standard of that name for the most part, and among its common ones."""
    leads = _COMMON_LEADS.get(name)
    encoded = [encoded for c in own if (encoded := c.encode(name, "ignore"))]
    if not own or len(encoded) < _LEAST_STANDARD * len(own):
        return False
    return leads is None or sum(each[0] in leads for each in encoded) >= _LEAST_COMMON * len(encoded)
