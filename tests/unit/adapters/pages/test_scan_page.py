"""A page's file holds its scans, maps and masks, and the same page is the same file."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from simcrop.adapters.pages import html
from simcrop.adapters.pages.scan_page import Image, Mask, ScanPage, Shown, write_scan_page
from simcrop.core.errors import ConfigError

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


@pytest.fixture(autouse=True)
def _viewer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "viewer.js").write_text("var niivue = {};")
    monkeypatch.setattr(html, "BUNDLE", tmp_path / "viewer.js")


def page() -> ScanPage:
    values = np.arange(24.0).reshape(2, 3, 4)
    scans = [Image(values * shift - 1000, AFFINE) for shift in (9, 18)]
    mask = Mask("lobe", Image(values > 20, AFFINE))
    shown = [
        Shown("a", ["left", "x 1"], 0.5, (2.0, 2.0, 3.0), Image(values / 24, AFFINE), panel=b"png of a"),
        Shown("b", outlines=[mask], scan=1),
    ]
    return ScanPage("scan", scans, shown, "cosine", "sentences", outlines=[mask], facts={"Model": "m"})


def data_of(path: Path) -> Any:
    found = re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


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
