"""`simcrop locate` as it is typed."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.language_run import NODULE, Tiny

from simcrop.adapters.pages import html
from simcrop_cli.__main__ import main


def test_a_picture_and_a_map_on_the_voxels_of_the_scan(tiny: Tiny, tmp_path: Path) -> None:
    volume = tiny.config.parent / "studies" / "v0.nii.gz"
    outs = [part for name in ("a.png", "b.nii.gz") for part in ("--out", str(tmp_path / name))]
    arguments = ["--checkpoint", str(tiny.run), "--volume", str(volume), "--sentence", NODULE]
    assert main(["locate", *arguments, *outs]) == 0
    written, there = nib.load(tmp_path / "b.nii.gz"), nib.load(volume)
    assert (written.shape, np.array_equal(written.affine, there.affine)) == (there.shape, True)
    assert -1 <= written.get_fdata().min() < written.get_fdata().max() <= 1
    assert (tmp_path / "a.png").stat().st_size > 10_000


@pytest.mark.parametrize("option", ["--report", "--findings"])
def test_a_page_of_a_report_with_true_places(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    (tmp_path / "viewer.js").write_text("var niivue = {};")
    monkeypatch.setattr(html, "BUNDLE", tmp_path / "viewer.js")
    volume = tiny.config.parent / "studies" / "v0.nii.gz"
    image = nib.load(volume)
    nib.save(nib.Nifti1Image(np.ones(image.shape, np.uint8), image.affine), tmp_path / "all.nii.gz")
    (tmp_path / "report.txt").write_text(f"{NODULE} The heart is normal.")
    paths = ["--volume", str(volume), "--mask", str(tmp_path / "all.nii.gz"), "--out", str(tmp_path / "page.html")]
    arguments = ["--checkpoint", str(tiny.run), option, str(tmp_path / "report.txt"), "--full-resolution", *paths]
    assert main(["locate", *arguments]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert [text in page for text in (NODULE, "The heart is normal.", "inside all", "its own voxels")] == [True] * 4
