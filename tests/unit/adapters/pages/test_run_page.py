"""The page of a run: whole in itself, and no text of a run becomes markup."""

import json
import re
from pathlib import Path

import pytest

from simcrop.adapters.pages.run_page import Chart, Part, RunPage, Series, Table, write_run_page
from simcrop.core.errors import ConfigError

EVIL = "</script><img src=x onerror=alert(1)>"
PNG = b"\x89PNG\r\n"


def page(text: str = "fine") -> RunPage:
    return RunPage(
        title=text,
        lead=text,
        warnings=[text],
        charts=[Chart(text, [Series(text, [1, 2], [0.5, None])], is_log=True)],
        parts=[Part(text, [text], [Table([text], [[text], [(text, text)]], text)], {text: PNG}, {text: "a.json"})],
        methods=text,
        facts={text: text},
        configuration=text,
    )


def test_no_text_becomes_markup_or_script(tmp_path: Path) -> None:
    write_run_page(tmp_path / "page.html", page(EVIL))
    text = (tmp_path / "page.html").read_text()
    assert "<img src=x" not in text
    assert text.count("</script>") == 2
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    (chart,) = json.loads(data[1])["charts"]
    assert chart == {
        "title": EVIL, "log": True, "series": [{"name": EVIL, "x": [1, 2], "y": [0.5, None], "dots": False}]
    }  # fmt: skip


def test_nothing_is_fetched_and_every_part_is_in_the_contents(tmp_path: Path) -> None:
    write_run_page(tmp_path / "page.html", page())
    text = (tmp_path / "page.html").read_text()
    assert "default-src 'none'" in text
    assert not re.findall(r'(?:src|href)="(?!data:|#|a\.json)', text)
    anchors = re.findall(r'href="#([\w-]+)"', text)
    assert anchors == ["curves", "part-0", "methods", "configuration"]
    assert all(f'id="{anchor}"' in text for anchor in anchors)
    first = (tmp_path / "page.html").read_bytes()
    write_run_page(tmp_path / "page.html", page())
    assert (tmp_path / "page.html").read_bytes() == first


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name another file with --out"):
        write_run_page(tmp_path / "nowhere" / "page.html", page())
