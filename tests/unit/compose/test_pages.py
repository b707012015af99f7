"""The common parts of pages of scans."""

from pathlib import Path

import numpy as np
import pytest
import torch

from simcrop.adapters.pages import html
from simcrop.adapters.pages.scan_page import Image, ScanPage, Shown, ShownScan
from simcrop.compose.pages import cautions, centre_mm, classes_on, shown_whole, write_evaluation_page
from simcrop.core.data.study import Volume

AFFINE = np.diag([2.0, 3.0, 4.0, 1.0])


def test_cautions_begin_and_end_alike() -> None:
    first, *more, last = cautions("a map is no proof", "Two.")
    assert "not a medical device" in first
    assert "patient data" in last
    assert more == ["A map is no proof.", "Two."]


def test_the_centre_of_an_organ_lies_in_it() -> None:
    ring = np.zeros((9, 9, 3), bool)
    ring[1:8, 1:8] = True
    ring[2:7, 2:7] = False
    x, y, z = centre_mm(ring, AFFINE) or (0.0, 0.0, 0.0)
    assert ring[int(x / 2), int(y / 3), int(z / 4)]
    ring[:] = True
    assert centre_mm(ring, AFFINE) == (8.0, 12.0, 4.0)
    assert centre_mm(np.zeros((2, 2, 2), bool), AFFINE) is None


@pytest.mark.parametrize(
    ("own", "model", "wanted"),
    [((1.0, 1.0, 1.0), (4.0, 4.0, 4.0), (1.5, 1.5, 3.0)), ((3.0,) * 3, (2.0,) * 3, (2.0,) * 3)],
)
def test_a_page_has_all_of_a_scan_on_voxels_no_larger_than_the_models(
    own: tuple[float, float, float], model: tuple[float, float, float], wanted: tuple[float, float, float]
) -> None:
    volume = Volume(torch.zeros(20, 24, 30, dtype=torch.int16), torch.diag(torch.tensor([*own, 1.0])))
    shown = shown_whole(volume, model)
    assert shown.spacing_mm == pytest.approx(wanted)
    for size, mm, before, step in zip(shown.voxels.shape, shown.spacing_mm, volume.voxels.shape, own, strict=True):
        assert size * mm >= before * step - 0.01
        assert (size - 1) * mm < before * step


def test_classes_come_onto_the_voxels_of_the_scan() -> None:
    coarse = torch.zeros(4, 4, 4, dtype=torch.uint8)
    coarse[3, 0, 1] = 2
    affine = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0], dtype=torch.float64))
    affine[:3, 3] = 0.5
    image = Image(np.zeros((8, 8, 8), np.int16), np.eye(4))
    classes = classes_on(image, coarse, affine, 2)
    assert np.argwhere(classes.predicted == 2).tolist() == [[x, y, z] for x in (6, 7) for y in (0, 1) for z in (2, 3)]
    assert classes.truth is None
    assert len(classes.colours) == 2


def test_an_earlier_page_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "viewer.js").write_text("var niivue = {};")
    monkeypatch.setattr(html, "BUNDLE", tmp_path / "viewer.js")
    scan = ShownScan(np.zeros((2, 2, 2), np.int16), np.eye(4))
    write_evaluation_page(tmp_path / "out", lambda: ScanPage("a", [scan], [Shown("b")], "c", "d"))
    assert (tmp_path / "out/page.html").is_file()
    write_evaluation_page(tmp_path / "out", lambda: None)
    assert not (tmp_path / "out/page.html").exists()
    monkeypatch.setattr(html, "BUNDLE", tmp_path / "absent.js")
    (tmp_path / "out/page.html").touch()
    write_evaluation_page(tmp_path / "out", lambda: pytest.fail("there is no viewer"))
    assert not (tmp_path / "out/page.html").exists()
