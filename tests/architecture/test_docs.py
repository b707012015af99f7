"""The pages that a reader meets: short sentences, figures written out, links that lead somewhere, a whole index."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import REPOSITORY

DOCS = REPOSITORY / "docs"
RECORDS = {"api.md", "method.md", "results.md", "ablation.md"}
"""Pages of docs/ that may have longer sentences: docstrings, a specification, and pages that a benchmark writes."""
AT_THE_TOP = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
GUIDES = [*AT_THE_TOP, *sorted(page for page in DOCS.glob("*.md") if page.name not in RECORDS)]
PAGES = [*AT_THE_TOP, *sorted(DOCS.rglob("*.md"))]
MOST_WORDS = 30

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`]*`")
_LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")
_IMAGE = re.compile(r'src="([^"]+)"')
_TABLE_OR_HEADING = re.compile(r"^ *(\||#|<).*", re.MULTILINE)
_NEW_BLOCK = re.compile(r"\n\s*\n|\n(?= *(?:[-*]|\d+\.) )")
_SENTENCE_END = re.compile(r"(?<=[.?!])[)*_\"]*\s+(?=[^a-z])")
_BARE_DECIMAL = re.compile(r"(?<![\w.)\]])\.\d")


def prose(text: str) -> str:
    """A page without code and tables; a span of code or a link counts as one word."""
    text = _LINK.sub("LINK", _CODE.sub("CODE", _FENCE.sub("\n\n", text)))
    return _TABLE_OR_HEADING.sub("\n\n", text)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a page; a list item begins a new one."""
    for block in _NEW_BLOCK.split(prose(text)):
        yield from _SENTENCE_END.split(" ".join(block.split()))


def long_sentences(text: str) -> list[str]:
    """Sentences of more words than are read in one breath."""
    return [sentence for sentence in sentences(text) if len(re.findall(r"\w[\w'.-]*", sentence)) > MOST_WORDS]


def bare_decimals(text: str) -> list[str]:
    """Lines with a decimal that lacks its leading zero, outside code."""
    return [line for line in _CODE.sub("", _FENCE.sub("", text)).splitlines() if _BARE_DECIMAL.search(line)]


def dead_links(page: Path, text: str) -> list[str]:
    """Relative links of a page that lead to no file."""
    text = _CODE.sub("", _FENCE.sub("", text))
    targets = [target.partition("#")[0] for _, target in _LINK.findall(text)] + _IMAGE.findall(text)
    return [target for target in targets if target and "://" not in target and not (page.parent / target).exists()]


def page_name(page: Path) -> str:
    """A page's path in the repository."""
    return str(page.relative_to(REPOSITORY))


@pytest.mark.parametrize("page", GUIDES, ids=page_name)
def test_no_sentence_of_a_guide_is_long(page: Path) -> None:
    assert long_sentences(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_decimals_have_a_leading_zero(page: Path) -> None:
    assert bare_decimals(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_relative_links_lead_to_files(page: Path) -> None:
    assert dead_links(page, page.read_text(encoding="utf-8")) == []


def test_the_index_names_every_page() -> None:
    index = DOCS / "index.md"
    named = {(DOCS / target).resolve() for _, target in _LINK.findall(index.read_text(encoding="utf-8"))}
    assert {page_name(page) for page in DOCS.rglob("*.md") if page != index and page not in named} == set()


def test_each_check_finds_what_it_looks_for(tmp_path: Path) -> None:
    words = " ".join(["Word"] * MOST_WORDS)
    assert long_sentences(f"{words}. Short one.\n\n| {words} {words} |\n") == []
    assert long_sentences(f"Short one. {words} more.") == [f"{words} more."]
    assert long_sentences(f"- {words}\n- [{words}](https://a.b). {words}\n- {words} more") == [f"- {words} more"]
    assert bare_decimals("0.5 `.5` a.nii.gz 1.5\n|.5|\n") == ["|.5|"]
    (tmp_path / "there.md").touch()
    links = '[a](there.md#top) [b](gone.md) [c](https://a.b) `[d](no.md)` <img src="gone.png">'
    assert dead_links(tmp_path / "page.md", links) == ["gone.md", "gone.png"]
