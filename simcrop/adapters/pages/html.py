"""One HTML file from the page's parts: nothing in it is fetched, and no text of a report becomes markup or script."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcrop.adapters.pages.niivue import BUNDLE, HOW_TO_BRING, LICENCE, VERSION
from simcrop.core.errors import ConfigError

_FILES = Path(__file__).parent / "files"
_SCRIPTS = ("viewer.js", "outlines.js", "classes.js", "page.js")
_PLACE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class Panel:
    """A picture for printing, and for browsers without WebGL2.

    Attributes:
        title: above it.
        notes: lines below the title.
        png: the file's bytes.
    """

    title: str
    notes: Sequence[str]
    png: bytes


def require_viewer() -> None:
    """Raise ConfigError where the viewer has not been brought."""
    if not BUNDLE.is_file():
        raise ConfigError(f"pages need the viewer NiiVue {VERSION}, which is not here; {HOW_TO_BRING}")


def html_page(
    title: str,
    data: Any,
    panels: Sequence[Panel],
    *,
    facts: Mapping[str, str],
    cautions: Sequence[str],
) -> str:
    """The page as text.

    Args:
        title: of the page.
        data: plain values for the page's script.
        panels: in the order of the list.
        facts: term -> text.
        cautions: sentences.

    Raises:
        ConfigError: the viewer has not been brought.
    """
    require_viewer()
    style, script = page_file("page.css"), "\n".join(map(page_file, _SCRIPTS))
    viewer = _inlined(BUNDLE.read_text(encoding="utf-8"))
    parts = {
        "policy": policy(scripts=(viewer, script), styles=(style,)),
        "title": html.escape(title),
        "style": style,
        "cautions": "".join(f"<li>{html.escape(caution)}</li>" for caution in cautions),
        "facts": terms_html(facts),
        "panels": "".join(map(_figure, panels)),
        "licence": html.escape(LICENCE.read_text(encoding="utf-8")),
        "version": VERSION,
        "data": as_json(data),
        "viewer": viewer,
        "script": script,
    }
    return filled("page.html", parts)


def filled(template: str, parts: Mapping[str, str]) -> str:
    """A template of this package with its places filled, each by the part of its name."""
    # In one pass, so that what is put in is not searched for places again.
    return _PLACE.sub(lambda place: parts[place[1]], page_file(template))


def terms_html(facts: Mapping[str, str]) -> str:
    """Terms and their texts, for inside a <dl>."""
    return "".join(f"<dt>{html.escape(term)}</dt><dd>{html.escape(text)}</dd>" for term, text in facts.items())


def as_json(data: Any) -> str:
    """JSON that can stand inside a script element: it holds no `<`, so nothing in it ends the element."""
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")


def policy(*, scripts: Sequence[str], styles: Sequence[str]) -> str:
    """A Content-Security-Policy: these scripts and styles alone, by their hashes; pictures in the file; no network."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {' '.join(map(_hash, styles))}",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _figure(panel: Panel) -> str:
    notes = "".join(f"<br>{html.escape(note)}" for note in panel.notes)
    source = f"data:image/png;base64,{base64.b64encode(panel.png).decode()}"
    caption = f"<figcaption><b>{html.escape(panel.title)}</b>{notes}</figcaption>"
    return f'<figure>{caption}<img src="{source}" alt="{html.escape(panel.title)}"></figure>'


def page_file(name: str) -> str:
    """A file of this package, as it can stand inside a page."""
    return _inlined((_FILES / name).read_text(encoding="utf-8"))


def _inlined(text: str) -> str:
    """Text for inside an element; a browser reads carriage returns otherwise than the hash, so there are none."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
