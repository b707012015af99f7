"""A page's file holds its scans, maps and masks, and the same page is the same file."""

import base64
import gzip
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from support.scan_pages import data_of

from simcrop.adapters.pages import html
from simcrop.adapters.pages.scan_page import Classes, Image, Mask, ScanPage, Shown, ShownScan, write_scan_page
from simcrop.core.errors import ConfigError

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


@pytest.fixture(autouse=True)
def _viewer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "viewer.js").write_text("var niivue = {};")
    monkeypatch.setattr(html, "BUNDLE", tmp_path / "viewer.js")


def page() -> ScanPage:
    values = np.arange(24.0).reshape(2, 3, 4)
    scans = [ShownScan(values * shift - 1000, AFFINE) for shift in (9, 18)]
    mask = Mask("lobe", Image(values > 20, AFFINE))
    shown = [
        Shown("a", ["left", "x 1"], 0.5, (2.0, 2.0, 3.0), Image(values / 24, AFFINE), panel=b"png of a"),
        Shown("b", outlines=[mask], scan=1),
    ]
    return ScanPage("scan", scans, shown, "cosine", "sentences", outlines=[mask], facts={"Model": "m"})


def voxels(coded: dict[str, Any]) -> Any:
    return np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(coded["nifti"]))).dataobj)


def test_the_file_holds_what_the_page_has(tmp_path: Path) -> None:
    write_scan_page(tmp_path / "page.html", page())
    data = data_of(tmp_path / "page.html")
    assert (data["measure"], data["entries"], len(data["scans"])) == ("cosine", "sentences", 2)
    first, second = data["shown"]
    assert (first["title"], first["notes"], first["score"], first["scan"]) == ("a", ["left", "x 1"], 0.5, 0)
    assert first["best_mm"] == [2.0, 2.0, 3.0]
    assert (second["score"], second["best_mm"], second["map"], second["scan"]) == (None, None, None, 1)
    assert [mask["name"] for mask in (*data["outlines"], *second["outlines"])] == ["lobe", "lobe"]
    image = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(data["scans"][1]["nifti"])))
    assert np.array_equal(image.affine, AFFINE)
    decoded = data["scans"][1]["low"] + np.asarray(image.dataobj) * float(data["scans"][1]["step"])
    assert np.abs(decoded - (np.arange(24.0).reshape(2, 3, 4) * 18 - 1000)).max() <= 4.5


def test_only_entries_with_a_picture_have_a_panel(tmp_path: Path) -> None:
    write_scan_page(tmp_path / "page.html", page())
    pictures = re.findall(r'src="data:image/png;base64,([^"]*)"', (tmp_path / "page.html").read_text())
    assert [base64.b64decode(picture) for picture in pictures] == [b"png of a"]


def test_the_same_page_is_the_same_file(tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        write_scan_page(tmp_path / name, page())
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_a_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere/page.html: cannot be written \(.*; free disk space, or name"):
        write_scan_page(tmp_path / "nowhere" / "page.html", page())


def test_classes_their_truth_and_their_colours_are_in_the_file(tmp_path: Path) -> None:
    predicted = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 3
    colours = ((1.0, 0.5, 0.0), (0.0, 0.2, 1.0))
    scans = [
        ShownScan(np.zeros((2, 3, 4)), AFFINE, "first", Classes(predicted, predicted[::-1], colours), b"png"),
        ShownScan(np.zeros((2, 3, 4)), AFFINE, classes=Classes(predicted, None, colours)),
    ]
    shown = [Shown("liver", ["12 ml"], 0.25, of_class=2), Shown("heart"), Shown("liver", scan=1, of_class=2)]
    write_scan_page(tmp_path / "page.html", ScanPage("page", scans, shown, "Dice", "classes", decimals=2))
    data = data_of(tmp_path / "page.html")
    assert [scan["head"] for scan in data["scans"]] == ["first", ""]
    first, second = (scan["classes"] for scan in data["scans"])
    assert np.array_equal(voxels(first), predicted)
    assert np.array_equal(voxels(first["truth"]), predicted[::-1])
    assert second["truth"] is None
    assert first["colours"] == [[255, 128, 0], [0, 51, 255]]
    assert [entry["of_class"] for entry in data["shown"]] == [2, None, 2]
    assert data["decimals"] == 2
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>first</b><br>liver: Dice 0.25; 12 ml<br>heart" in text, "what is printed has every entry of the scan"
