"""The page of a run in a real browser that reaches no network: charts are drawn, looked into, and read."""

import re
from collections.abc import Iterator

import pytest
from support.browser import Tab, opened_tab

from simcrop.adapters.pages.run_page import Chart, RunPage, Series, write_run_page

STEPS = range(1, 501)
LOSS = Series("training", STEPS, [20 / step + 1 for step in STEPS])
HELD_OUT = Series("held out", [250, 500], [1.2, 1.1], has_dots=True)
RATE = Series("lr", [1, 2, 3], [0.1, None, 0.001])
SVG = "document.querySelector('#charts svg')"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    folder = tmp_path_factory.mktemp("report")
    charts = [Chart("Loss", [LOSS, HELD_OUT]), Chart("Rate", [RATE], is_log=True)]
    page = RunPage("a run", "done", [], charts, [], "methods", {"Commit": "abc"}, "name: a")
    write_run_page(folder / "page.html", page)
    with opened_tab(folder / "browser") as opened:
        opened.open(folder / "page.html")
        opened.wait_for("document.documentElement.dataset.ready === 'yes'")
        yield opened


def labels(tab: Tab) -> list[str]:
    return tab.evaluate(f"[...{SVG}.querySelectorAll('text')].map(text => text.textContent)")


def mouse(tab: Tab, share: float, kind: str) -> None:
    """An event of the mouse at a share of the first chart's width."""
    box = tab.evaluate(f"(({{x, y, width, height}}) => [x, y, width, height])({SVG}.getBoundingClientRect())")
    x, y, width, height = box
    place = {"x": x + share * width, "y": y + height / 2}
    tab.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)


def test_charts_are_drawn_without_a_complaint_or_a_request(tab: Tab) -> None:
    assert tab.complaints == []
    assert [url for url in tab.requested if not url.startswith(("file:", "data:"))] == []
    assert tab.evaluate("document.querySelectorAll('#charts svg[role=img]').length") == 2
    points = tab.evaluate(f"{SVG}.querySelector('polyline').getAttribute('points').split(' ').length")
    assert points == 500
    assert tab.evaluate(f"{SVG}.querySelectorAll('circle').length") == 2
    rate = tab.evaluate("document.querySelectorAll('#charts svg[role=img]')[1].querySelector('polyline').points.length")
    assert rate == 2, "a gap has no point"


def test_a_part_of_a_chart_is_looked_into_and_left_again(tab: Tab) -> None:
    whole = labels(tab)
    for share, kind in ((0.5, "mousePressed"), (0.6, "mouseMoved"), (0.7, "mouseMoved"), (0.7, "mouseReleased")):
        mouse(tab, share, kind)
    tab.settle()
    closer = labels(tab)
    assert closer != whole
    assert max(float(text) for text in closer) < 500
    mouse(tab, 0.5, "mouseMoved")
    read = tab.evaluate("document.querySelector('#charts .legend').textContent")
    assert re.search(r"step 2\d\dtraining 1\.0[6-9]\d*held out 1\.2", read), read
    tab.evaluate(f"{SVG}.dispatchEvent(new MouseEvent('dblclick', {{bubbles: true}}))")
    assert labels(tab) == whole
