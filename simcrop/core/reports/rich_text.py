"""Reports that a system keeps as rich text (RTF): their plain text, in whatever code pages they are."""

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

_TOKEN = re.compile(
    r"""\\'(?P<byte>[0-9a-fA-F]{2})
    |\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,9})?[ ]?
    |\\(?P<symbol>[^a-zA-Z'])
    |(?P<brace>[{}])
    |(?P<text>[^\\{}\r\n]+)""",
    re.VERBOSE,
)
_SILENT_WORDS = """
    fonttbl colortbl stylesheet info pict object header headerl headerr headerf footer footerl footerr footerf listtable
    listoverridetable rsidtbl generator themedata colorschememapping datastore latentstyles xmlnstbl fldinst filetbl
    revtbl bkmkstart bkmkend private template
"""
_SILENT = frozenset(_SILENT_WORDS.split())
"""Groups whose text is none of the report's."""
_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("par", "line", "sect", "page", "row"), "\u2028"),
    **dict.fromkeys(("tab", "cell"), " "),
    **{"emdash": "—", "endash": "–", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "bullet": "•"},
}
_SYMBOLS: Mapping[str, str] = {"~": "\xa0", "_": "-", "\\": "\\", "{": "{", "}": "}", "\n": "\u2028", "\r": "\u2028"}
_CODE_PAGES: Mapping[int, str] = {
    **{128: "cp932", 129: "cp949", 134: "gb18030", 136: "cp950", 161: "cp1253", 162: "cp1254", 177: "cp1255"},
    **{178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250"},
}
"""Character set of a font -> its code page; others are in that of the document."""


@dataclass(frozen=True)
class _State:
    """How a group is read.

    Attributes:
        is_silent: whether its text is left out.
        skipped: characters behind a number of Unicode that stand in for it.
        code_page: of bytes.
    """

    is_silent: bool
    skipped: int
    code_page: str


def plain_text(text: str) -> str:
    r"""The text of a document in RTF, its paragraphs divided by U+2028; a text that is none is given back.

    What is damaged is read as far as it makes sense, so that no word is lost.
    """
    return "".join(_Reader().parts(text)) if text.lstrip().startswith("{\\rtf") else text


class _Reader:
    """Reads a document token by token."""

    def __init__(self) -> None:
        self._state, self._stack = _State(False, 1, "cp1252"), list[_State]()
        self._document, self._fonts, self._font = "cp1252", dict[int, str](), 0
        self._bytes, self._skip = bytearray(), 0

    def parts(self, text: str) -> Iterator[str]:
        """The text of each token."""
        for token in _TOKEN.finditer(text):
            if token["byte"]:
                self._take(int(token["byte"], 16))
                continue
            yield self._decoded()
            if token["brace"]:
                self._turn(is_begin=token["brace"] == "{")
            elif not self._obeys(token["word"] or token["symbol"] or "", int(token["number"] or 0)):
                yield self._said(token)
                continue
            self._skip = 0
        yield self._decoded()

    def _take(self, byte: int) -> None:
        """A byte in the code page; characters of several come one by one."""
        if self._skip:
            self._skip -= 1
        elif not self._state.is_silent:
            self._bytes.append(byte)

    def _decoded(self) -> str:
        text = self._bytes.decode(self._state.code_page, "replace")
        self._bytes.clear()
        return text

    def _turn(self, *, is_begin: bool) -> None:
        if is_begin:
            self._stack.append(self._state)
        elif self._stack:
            self._state = self._stack.pop()

    def _obeys(self, word: str, number: int) -> bool:
        """Whether a word says how to read what follows, rather than something."""
        if word == "*" or word in _SILENT:
            self._state = replace(self._state, is_silent=True)
        elif word == "ansicpg":
            self._document = f"cp{number}" if _is_known(f"cp{number}") else self._document
            self._state = replace(self._state, code_page=self._document)
        elif word == "f":
            self._font = number
            self._state = replace(self._state, code_page=self._fonts.get(number, self._document))
        elif word == "fcharset":
            self._fonts[self._font] = _CODE_PAGES.get(number, self._document)
        elif word == "uc":
            self._state = replace(self._state, skipped=max(0, number))
        else:
            return False
        return True

    def _said(self, token: re.Match[str]) -> str:
        skip, self._skip = self._skip, 0
        if self._state.is_silent:
            return ""
        if token["word"] == "u":
            self._skip = self._state.skipped
            return chr(int(token["number"] or 0) % (1 << 16))
        if token["text"]:
            return token["text"][skip:]
        return _WORDS.get(token["word"] or "", "") or _SYMBOLS.get(token["symbol"] or "", "")


def _is_known(code_page: str) -> bool:
    try:
        codecs.lookup(code_page)
    except LookupError:
        return False
    return True
