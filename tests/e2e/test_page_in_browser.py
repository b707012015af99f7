"""The page of `simcrop locate` in a real browser without a network: opened from its file, clicked, and looked at."""

import base64
import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from support.browser import Tab, chromium_or_skip, opened_tab
from support.scan_pages import READY, SPACING, block_page, canvas, data_of, place, shrunk, small_picture
from support.tiny_data import SENTENCES, write_config

from simcrop.adapters.pages.niivue import BUNDLE
from simcrop_cli.__main__ import main

EVIL = (
    "A nodule <img src=x onerror=\"document.title='owned'\"> is seen </script><svg onload=\"document.title='owned'\">"
)

STORED, TOLERANCE = Path(__file__).parent / "page.png", 2.0
"""24 x 32 greys, as `small_picture` takes them, and by how many of 255 others may differ from them on average."""


@pytest.fixture(scope="module", autouse=True)
def _able() -> None:
    chromium_or_skip()
    if not BUNDLE.exists():
        pytest.skip("the viewer NiiVue has not been brought")


@pytest.fixture(scope="module")
def located(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a model after one step, of three sentences."""
    folder = tmp_path_factory.mktemp("located")
    options = ["train.steps=1", "train.warmup_steps=0", "train.evaluate_every=1"]
    sets = [part for option in options for part in ("--set", option)]
    assert main(["train", str(write_config(folder)), "--out", str(folder / "run"), *sets]) == 0
    sentences = [part for text in (*SENTENCES[:2], EVIL) for part in ("--sentence", text)]
    volume = next(folder.rglob("*.nii.gz"))
    out = folder / "page.html"
    arguments = ["--checkpoint", str(folder / "run"), "--volume", str(volume), "--out", str(out), *sentences]
    assert main(["locate", *arguments]) == 0
    return out


@pytest.fixture(scope="module")
def predicted(located: Path) -> Path:
    """The page of the findings that the same model sees in the same scan by sentences of one's own."""
    folder = located.parent
    prompts, volume = folder / "prompts.yaml", next(folder.rglob("*.nii.gz"))
    prompts.write_text(
        f"Heart:\n  present: [{SENTENCES[1]}]\n  absent: [{SENTENCES[2]}]\n<b>Nodule</b>:\n"
        f"  present: [{SENTENCES[0]}]\n  absent: [{SENTENCES[4]}]\n"
    )
    arguments = ["--checkpoint", str(folder / "run"), "--prompts", str(prompts), "--out", str(folder / "predicted")]
    assert main(["predict", str(volume), *arguments, "--pages", "--workers", "1"]) == 0
    [page] = (folder / "predicted/pages").rglob("*.html")
    return page


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawn") / "page.html"
    block_page(path)
    return path


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """One for all tests, since a browser takes seconds to start; each opens its own page."""
    with opened_tab(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def hottest(coded: dict[str, Any]) -> np.ndarray:
    image = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(coded["nifti"])))
    codes = np.asarray(image.dataobj)
    return image.affine[:3, :3] @ np.unravel_index(codes.argmax(), codes.shape) + image.affine[:3, 3]


def test_each_sentence_brings_the_crosshair_to_its_maximum_and_stays_text(located: Path, tab: Tab) -> None:
    tab.open(located)
    tab.wait_for(READY)
    shown = data_of(located)["shown"]
    for number in (2, 0, 1):
        tab.click(f"#list li:nth-child({number + 1}) button")
        tab.wait_for(f"document.querySelector('#list li:nth-child({number + 1}) [aria-current=true]')")
        assert np.abs(place(tab) - hottest(shown[number]["map"])).max() <= 8.0  # a patch of 4 voxels of 2 mm
    for key, number in (("j", 2), ("k", 1), ("k", 0)):
        tab.press(key)
        assert np.abs(place(tab) - shown[number]["best_mm"]).max() <= 0.06
    titles = tab.evaluate("[...document.querySelectorAll('#list .title')].map(title => title.textContent)")
    assert titles == [*SENTENCES[:2], EVIL]
    assert tab.evaluate("document.title") == data_of_title(located)
    assert tab.evaluate("document.querySelectorAll('#list img, #panels img[onerror], svg[onload], script').length") == 3
    assert tab.complaints == []
    assert [address for address in tab.requested if not address.startswith(("data:", "blob:"))] == [located.as_uri()]


def test_a_predicted_finding_brings_its_sentences_map(predicted: Path, tab: Tab) -> None:
    tab.open(predicted)
    tab.wait_for(READY)
    shown = data_of(predicted)["shown"]
    titles = tab.evaluate("[...document.querySelectorAll('#list .title')].map(title => title.textContent)")
    assert titles == ["Heart", "<b>Nodule</b>"]
    scores = tab.evaluate("[...document.querySelectorAll('#list .score')].map(score => score.textContent)")
    assert scores == [f"{entry['score']:.3f}" for entry in shown]
    for number in (1, 0):
        tab.click(f"#list li:nth-child({number + 1}) .row")
        tab.wait_for(f"document.querySelector('#list li:nth-child({number + 1}) [aria-current=true]')")
        assert np.abs(place(tab) - shown[number]["best_mm"]).max() <= 0.06
        assert np.abs(place(tab) - hottest(shown[number]["map"])).max() <= 8.0
    assert tab.evaluate("document.querySelector('#lowest').textContent").startswith("cosine")
    assert tab.complaints == []


def data_of_title(page: Path) -> str:
    found = re.search(r"<title>(.*?)</title>", page.read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def difference(picture: np.ndarray) -> float:
    """Mean difference from the stored picture, in greys of 255."""
    return float(np.abs(picture - np.asarray(Image.open(STORED), np.float64)).mean())


def test_the_page_looks_as_it_did(drawn: Path, tab: Tab, tmp_path: Path) -> None:
    assert difference(small_picture(tab, drawn)) < TOLERANCE
    tab.press("h")
    assert difference(shrunk(canvas(tab))) > 2 * TOLERANCE, "without the map"
    changes = {"flipped": lambda hu: hu[::-1].copy(), "without the scan": lambda hu: np.full_like(hu, -1000)}
    for name, change in changes.items():
        block_page(tmp_path / "page.html", change)
        assert difference(small_picture(tab, tmp_path / "page.html")) > 2 * TOLERANCE, name


def test_windows_sliders_and_keys_change_the_picture(drawn: Path, tab: Tab) -> None:
    tab.open(drawn, width=1200, height=800)
    tab.wait_for(READY)
    pictures = [canvas(tab)]
    assert pictures[0].std() > 20  # neither blank nor uniform
    for change in (
        lambda: tab.click("#windows button:nth-child(2)"),
        lambda: tab.press("3"),
        lambda: tab.set_slider("#threshold", 50),
        lambda: tab.set_slider("#opacity", 100),
        lambda: tab.press("h"),
        lambda: tab.press("o"),
        lambda: tab.press("c"),
        lambda: tab.click("#views button:nth-child(5)"),
    ):
        change()
        pictures.append(canvas(tab))
        assert (np.abs(pictures[-1] - pictures[-2]).max(-1) > 30).mean() > 0.0005
    assert tab.evaluate("document.querySelector('#threshold_is').textContent") == "highest 50 %"
    assert tab.complaints == []


def test_the_patients_right_is_on_the_left_and_the_outline_lies_around_the_block(drawn: Path, tab: Tab) -> None:
    tab.open(drawn, width=1200, height=800)
    tab.wait_for(READY)
    for key in "3ha":
        tab.press(key)
    picture = canvas(tab)
    height, width, _ = picture.shape
    is_line = (picture[..., 1] > 200) & (picture[..., 0] < 130) & (picture[..., 2] < 170)
    rows, columns = np.nonzero(is_line)
    assert columns.size > 100
    # The slice fills the height or the width, at one scale, in the middle of the canvas.
    scale = min(height / (70 * 3), width / (80 * 3))
    left, right = (width / 2 + scale * 3 * (40 - edge) for edge in (60, 48))
    top, bottom = (height / 2 + scale * 3 * (35 - edge) for edge in (38, 30))
    assert right < width / 2
    measured = [columns.min(), columns.max(), rows.min(), rows.max()]
    np.testing.assert_allclose(measured, [left, right, top, bottom], atol=6)
    block = picture[int(top) + 8 : int(bottom) - 8, int(left) + 8 : int(right) - 8]
    assert np.median(block) > 150
    assert np.median(block) > np.median(picture[int(top) : int(bottom), int(width - right) : int(width - left)]) + 50


def test_a_page_may_have_several_scans(drawn: Path, tab: Tab) -> None:
    tab.open(drawn, width=1200, height=800)
    tab.wait_for(READY)
    tab.press("2")
    first = canvas(tab)
    tab.press("j")
    tab.wait_for("page.scan === 1")
    assert tab.evaluate("document.querySelector('#window').textContent") == "W 400 L 40"
    assert tab.evaluate("document.querySelector('#legend').hidden")
    assert (np.abs(canvas(tab) - first).max(-1) > 30).mean() > 0.01
    tab.press("j")
    tab.wait_for("!document.querySelector('#legend').hidden")
    # The axes of this scan lie askew, those of its map do not; places are in the world all the same.
    np.testing.assert_allclose(place(tab), (-15, 160, -190), atol=0.06)
    away = np.linalg.norm((np.array([-15, 160, -190]) - [-120, 55, -300]) / SPACING - [53.5, 33.5, 25.5])
    value = float(tab.evaluate("document.querySelector('#value').textContent"))
    assert value == pytest.approx(-away, abs=1.0)
    tab.press("k")
    tab.wait_for("document.querySelector('#legend').hidden")
    assert tab.complaints == []


def test_without_webgl_there_are_pictures(located: Path, tmp_path: Path) -> None:
    with opened_tab(tmp_path / "browser", "--disable-3d-apis") as tab:
        tab.open(located, width=800, height=600)
        tab.wait_for(READY)
        assert "has no WebGL2" in tab.evaluate("document.querySelector('#state').textContent")
        assert tab.evaluate("[...document.querySelectorAll('#panels img')].every(image => image.offsetHeight > 100)")
        assert tab.evaluate("document.querySelectorAll('#panels img').length") == 3
        assert tab.complaints == []


def test_a_narrow_window_shows_everything_below_each_other(drawn: Path, tab: Tab) -> None:
    tab.open(drawn, width=420, height=800)
    tab.wait_for(READY)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 420
    assert canvas(tab).std() > 15
    tab.click("#about")
    assert tab.evaluate("document.querySelector('#facts').open")
