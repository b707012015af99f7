"""A page runs its own scripts alone, asks for nothing, and shows texts as text, whatever stands in them."""

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from simcrop.adapters.pages import html as html_module
from simcrop.adapters.pages.html import Panel, as_json, html_page
from simcrop.core.errors import ConfigError

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)> {{script}} & \u2028 \"'"


class Parts(HTMLParser):
    """Elements as a browser finds them, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": [], "title": [], "dd": [], "li": []}
        self.inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag in self.texts:
            self.inside.append(tag)
            self.texts[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[self.inside[-1]][-1] += data


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A stand-in for the viewer's file, with Windows' ends of lines in it."""
    (tmp_path / "viewer.js").write_bytes(b"var niivue = {};\r\n// a line\r\n")
    monkeypatch.setattr(html_module, "BUNDLE", tmp_path / "viewer.js")
    return "var niivue = {};\n// a line\n"


def page(data: object = None) -> str:
    panels = [Panel(EVIL, [EVIL], b"\x89PNG")]
    return html_page(EVIL, data or {"text": EVIL}, panels, facts={EVIL: EVIL}, cautions=[EVIL])


def test_only_the_pages_own_scripts_and_styles_may_run(viewer: str) -> None:
    parts = Parts(page())
    policy = next(attributes["content"] or "" for tag, attributes in parts.found if "http-equiv" in attributes)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data: blob:"
    assert {"base-uri", "form-action"} <= set(rules)
    assert not re.search(r"unsafe|https?:|\*|connect-src", policy)
    data, *scripts = parts.texts["script"]
    assert scripts[0] == viewer
    for name, texts in (("script-src", scripts), ("style-src", parts.texts["style"])):
        hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts]
        assert rules[name].split() == hashes
    assert json.loads(data) == {"text": EVIL}


@pytest.mark.usefixtures("viewer")
def test_texts_stay_text() -> None:
    parts = Parts(page())
    assert [tag for tag, _ in parts.found].count("script") == 3
    assert parts.texts["title"] == [EVIL]
    assert EVIL in parts.texts["dd"]
    assert EVIL in parts.texts["li"]
    images = [attributes for tag, attributes in parts.found if tag == "img"]
    assert [image["alt"] for image in images] == [EVIL]
    assert not any(name.startswith("on") or name == "style" for _, attributes in parts.found for name in attributes)


@pytest.mark.usefixtures("viewer")
def test_nothing_is_fetched() -> None:
    addresses = [
        attributes[name] or ""
        for _, attributes in Parts(page()).found
        for name in ("src", "href", "action", "data")
        if name in attributes
    ]
    assert [address.partition(",")[0] for address in addresses] == ["data:image/png;base64"]


@pytest.mark.usefixtures("viewer")
def test_the_viewers_licence_is_in_the_page() -> None:
    text = html.unescape(page())
    assert "BSD 2-Clause License" in text
    assert "Copyright (c) 2021, Niivue" in text


def test_json_holds_no_markup_and_no_nan() -> None:
    assert "<" not in as_json({EVIL: [EVIL]})
    assert json.loads(as_json({EVIL: [EVIL]})) == {EVIL: [EVIL]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json(float("nan"))


def test_where_the_viewer_is_missing_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(html_module, "BUNDLE", tmp_path / "nowhere.js")
    with pytest.raises(ConfigError, match=r"^pages need the viewer NiiVue 0.69.0, .*: python -m simcrop\S+niivue$"):
        page()
