"""Pages of organs in a real browser without a network: tints and outlines that can be hidden and made fainter."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.browser import Tab, chromium_or_skip, opened_tab
from support.scan_pages import READY, canvas, classes_page, data_of, place
from support.segmenting import SHORT, msd_config, options, segment

from simcrop.adapters.pages.niivue import BUNDLE
from simcrop_cli.__main__ import main

AFFINE = np.array([[3.0, 0, 0, -120], [0, 3.0, 0, 55], [0, 0, 4.0, -300], [0, 0, 0, 1]])
CENTRES = {"left box": (-61.5, 151.0, -202.0), "right box": (58.5, 151.0, -202.0)}


@pytest.fixture(scope="module", autouse=True)
def _able() -> None:
    chromium_or_skip()
    if not BUNDLE.exists():
        pytest.skip("the viewer NiiVue has not been brought")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawn") / "page.html"
    classes_page(path, AFFINE)
    return path


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """One for all tests, since a browser takes seconds to start; each opens its own page."""
    with opened_tab(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def axial(drawn: Path, tab: Tab) -> Tab:
    """The page with an axial slice alone, in the mediastinal window."""
    tab.open(drawn, width=1200, height=800)
    tab.wait_for(READY)
    for key in "2a":
        tab.press(key)
    return tab


def amounts(picture: NDArray[Any]) -> tuple[float, float]:
    """How much more red than blue the right half of a picture has, where the patient's left is; and blue, the left."""
    middle = picture.shape[1] // 2
    red, blue = picture[..., 0], picture[..., 2]
    lefts, rights = red[:, middle:] - blue[:, middle:], blue[:, :middle] - red[:, :middle]
    return float(lefts.clip(0).sum()), float(rights.clip(0).sum())


def blue_lines(picture: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of the blue outline; the crosshair is less blue."""
    return picture[..., 2] - picture[..., 0] > 170


def test_a_click_on_an_organ_goes_to_its_centre_and_names_it(drawn: Path, tab: Tab) -> None:
    tab.open(drawn)
    tab.wait_for(READY)
    heads = tab.evaluate("[...document.querySelectorAll('#list .scan')].map(head => head.textContent)")
    assert heads == ["scan 0", "scan 1"]
    for number, name in ((3, "right box"), (2, "left box"), (5, "left box")):
        tab.click(f"#list li:nth-child({number}) .row")
        tab.wait_for(f"document.querySelector('#list li:nth-child({number}) [aria-current=true]')")
        np.testing.assert_allclose(place(tab), CENTRES[name], atol=0.06)
        assert tab.evaluate("document.querySelector('#value').textContent") == name
        assert tab.evaluate("document.querySelector('#opacity_of').textContent") == f"Opacity of {name}"
    assert tab.complaints == []
    assert [address for address in tab.requested if not address.startswith(("data:", "blob:"))] == [drawn.as_uri()]


def test_each_organ_is_tinted_on_its_side_and_can_be_hidden(axial: Tab) -> None:
    left, right = amounts(canvas(axial))
    assert min(left, right) > 1e6
    axial.click("#list li:nth-child(2) .toggle")
    without_left = amounts(canvas(axial))
    assert without_left[0] < 0.02 * left
    assert without_left[1] == pytest.approx(right, rel=0.02)
    assert axial.evaluate("document.querySelector('#list li:nth-child(5) .toggle').ariaPressed") == "false"
    axial.press("t")  # of the organ that is chosen, which is the left one
    assert amounts(canvas(axial)) == pytest.approx((left, right), rel=0.02)
    axial.press("h")
    assert max(amounts(canvas(axial))) < 0.3 * min(left, right), "outlines alone are left"
    assert axial.complaints == []


def test_an_organ_has_its_own_opacity(axial: Tab) -> None:
    left, right = amounts(canvas(axial))
    axial.set_slider("#opacity", 90)
    more, same = amounts(canvas(axial))
    assert more > 1.5 * left
    assert same == pytest.approx(right, rel=0.02)
    axial.press("j")
    axial.wait_for("document.querySelector('#opacity_is').textContent === '45 %'")
    axial.press("k")
    axial.wait_for("document.querySelector('#opacity_is').textContent === '90 %'")
    assert axial.complaints == []


def test_the_truth_is_outlined_where_there_is_one(axial: Tab) -> None:
    axial.press("h")
    lines = blue_lines(canvas(axial))
    height, width = lines.shape
    columns = np.nonzero(lines)[1]
    scale = min(height / (70 * 3), width / (80 * 3))
    # The truth of the right box reaches from voxel 52 to 60, what was found to 68; the patient's right is on the left.
    wanted = [width / 2 + scale * 3 * (40 - edge) for edge in (60, 52)]
    np.testing.assert_allclose([columns.min(), columns.max()], wanted, atol=6)
    assert axial.evaluate("document.querySelector('#outlines').textContent") == "tint: as found; line: as it truly is"
    axial.click("#list li:nth-child(5) .row")
    axial.wait_for("page.scan === 1")
    assert not blue_lines(canvas(axial)).any(), "of the second scan no truth is known"
    assert axial.evaluate("document.querySelector('#outlines').textContent") == ""
    assert axial.complaints == []


def test_pages_of_a_segmentation_and_of_a_prediction_show_its_organs(tab: Tab, tmp_path: Path) -> None:
    pytest.importorskip("monai", reason="MONAI is not installed")
    config, out = msd_config(tmp_path / "msd"), tmp_path / "out"
    assert segment(config, out, *options(*SHORT)) == 0
    volumes = sorted((config.parent / "data/imagesTr").glob("*.nii.gz"))[:1]
    arguments = ["--checkpoint", str(out), "--out", str(tmp_path / "predicted"), "--pages", "--workers", "1"]
    assert main(["predict", *map(str, volumes), *arguments]) == 0
    [predicted] = (tmp_path / "predicted/pages").rglob("*.html")
    for page, has_truth in ((out / "page.html", True), (predicted, False)):
        tab.open(page)
        tab.wait_for(READY)
        data = data_of(page)
        assert all((scan["classes"]["truth"] is not None) == has_truth for scan in data["scans"])
        for number, entry in enumerate(data["shown"]):
            tab.evaluate(f"document.querySelectorAll('#list .row')[{number}].click()")
            tab.wait_for(f"page.scan === {entry['scan']} && page.current === {number}")
            if entry["best_mm"] is not None:
                np.testing.assert_allclose(place(tab), entry["best_mm"], atol=0.06)
        tab.press("2")
        shown = canvas(tab)
        for key in "ho":
            tab.press(key)
        assert (np.abs(canvas(tab) - shown).max(-1) > 20).mean() > 0.002
        assert tab.complaints == []
        assert {address for address in tab.requested if not address.startswith(("data:", "blob:"))} == {page.as_uri()}
