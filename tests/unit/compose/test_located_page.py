"""The page of a located sentence holds its map, its place and its true mask where they are in the scan."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from support.bright_model import PATCH_MM, BrightnessModel, Words, world_of, write_scan

from simcrop.adapters.pages import html
from simcrop.compose import located_page, locating, models
from simcrop.compose.located_page import PageOptions
from simcrop.core.errors import ConfigError, DataError, InputError
from simcrop.core.evaluation.references import ReferenceScans

PATCH = (1, 2, 1)
SENTENCES = ["Something bright.", "Something <img src=x onerror=alert(1)> dark."]


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "viewer.js").write_text("var niivue = {};")
    monkeypatch.setattr(html, "BUNDLE", tmp_path / "viewer.js")
    monkeypatch.setattr(locating, "load_aligned", lambda checkpoint, device: (BrightnessModel(), Words()))
    monkeypatch.setattr(locating, "references_of", lambda checkpoint: None)
    identity = {"step": 7, "sha256": "5a5a", "data_fingerprint": "f" * 64}
    monkeypatch.setattr(located_page, "checkpoint_identity", lambda checkpoint: identity)
    for module in (models, located_page):
        monkeypatch.setattr(module, "trained_on", lambda checkpoint: "trained on blocks")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    write_scan(tmp_path / "scan.nii.gz", np.diag([-1.0, -1, 1]), PATCH, shape=(50, 48, 46))
    return tmp_path / "scan.nii.gz"


def write_mask(path: Path, affine: np.ndarray, centre: np.ndarray) -> Path:
    """A ball of 6 mm on the grid of the scan."""
    index = np.stack(np.meshgrid(*map(np.arange, (50, 48, 46)), indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    nib.save(nib.Nifti1Image((np.linalg.norm(world - centre, axis=-1) < 6).astype(np.uint8), affine), path)
    return path


def data_of(page: Path) -> Any:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def volume(coded: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    image = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(coded["nifti"])))
    return np.asarray(image.dataobj).astype(float), image.affine


def hottest(coded: dict[str, Any]) -> np.ndarray:
    codes, affine = volume(coded)
    return affine[:3, :3] @ np.unravel_index(codes.argmax(), codes.shape) + affine[:3, 3]


def test_map_place_and_scan_agree(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "page.html"
    locating.locate("run", scan, SENTENCES, [out])
    data = data_of(out)
    bright, dark = data["shown"]
    assert [bright["title"], dark["title"]] == SENTENCES
    np.testing.assert_allclose(hottest(bright["map"]), world_of(PATCH), atol=1e-3)
    np.testing.assert_allclose(bright["best_mm"], world_of(PATCH), atol=1.1)
    assert np.abs(hottest(dark["map"]) - dark["best_mm"]).max() <= PATCH_MM.max()
    codes, affine = volume(data["scans"][0])
    assert (affine[:3, :3] == np.diag(np.diag(affine[:3, :3]))).all()
    at = np.rint(np.linalg.inv(affine) @ [*world_of(PATCH), 1]).astype(int)[:3]
    assert codes[tuple(at)] == 255
    assert str(out) in capsys.readouterr().out.splitlines()


def test_the_map_has_no_value_outside_of_the_scan(tmp_path: Path) -> None:
    write_scan(tmp_path / "small.nii", np.eye(3), (2, 2, 1), shape=(20, 48, 46))
    locating.locate("run", tmp_path / "small.nii", SENTENCES[:1], [tmp_path / "page.html"])
    codes, affine = volume(data_of(tmp_path / "page.html")["shown"][0]["map"])
    there = np.argwhere(codes > 0) @ affine[:3, :3].T + affine[:3, 3]
    extent = there.max(0) - there.min(0)
    step = PATCH_MM / 5
    assert 20 * 1.9 - 2 * step[0] <= extent[0] <= 20 * 1.9  # the box of the model is 80 mm wide
    np.testing.assert_allclose(extent[1:], [64 - step[1], 72 - step[2]], atol=1e-3)


def test_a_scan_thinner_than_the_samples_of_a_map_has_a_page_too(tmp_path: Path) -> None:
    write_scan(tmp_path / "thin.nii", np.eye(3), (2, 2, 1), shape=(50, 48, 8))
    [found] = locating.locate("run", tmp_path / "thin.nii", SENTENCES[:1], [tmp_path / "page.html"])
    [bright] = data_of(tmp_path / "page.html")["shown"]
    assert found.patches.min() <= bright["score"] <= found.patches.max()


def test_the_whole_scan_is_there_on_request(scan: Path, tmp_path: Path) -> None:
    locating.locate("run", scan, SENTENCES, [tmp_path / "page.html"], page=PageOptions(full_resolution=True))
    codes, affine = volume(data_of(tmp_path / "page.html")["scans"][0])
    assert codes.shape == (50, 48, 46)
    np.testing.assert_allclose(np.diag(affine)[:3], [1.9, 2.0, 2.1], atol=1e-6)
    assert (affine[:3, :3] == np.diag(np.diag(affine[:3, :3]))).all()


def test_a_mask_is_an_outline_of_every_sentence(scan: Path, tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "ball.nii.gz", nib.load(scan).affine, world_of(PATCH))
    locating.locate("run", scan, SENTENCES, [tmp_path / "page.html"], page=PageOptions([mask]))
    data = data_of(tmp_path / "page.html")
    [outline] = data["outlines"]
    assert outline["name"] == "ball"
    inside, affine = volume(outline)
    there = np.argwhere(inside) @ affine[:3, :3].T + affine[:3, 3]
    np.testing.assert_allclose(there.mean(0), world_of(PATCH), atol=1.5)
    bright, dark = (entry["notes"][-1] for entry in data["shown"])
    assert bright == "inside ball"
    assert re.fullmatch(r"\d+ mm from ball", dark)


def test_masks_of_a_folder_go_with_its_sentences(scan: Path, tmp_path: Path) -> None:
    folder = tmp_path / "truth"
    folder.mkdir()
    write_mask(folder / "it.nii.gz", nib.load(scan).affine, world_of(PATCH))
    entry = {"text": "something  BRIGHT.", "finding": None, "present": True, "mask": "it.nii.gz"}
    (folder / "sentences.json").write_text(json.dumps({"version": 1, "sentences": [entry]}))
    locating.locate("run", scan, SENTENCES, [tmp_path / "page.html"], page=PageOptions([folder]))
    data = data_of(tmp_path / "page.html")
    bright, dark = data["shown"]
    assert ([mask["name"] for mask in bright["outlines"]], dark["outlines"]) == (["true place (it)"], [])
    assert (bright["notes"][-1], len(dark["notes"]), data["outlines"]) == ("inside true place (it)", 2, [])


def test_a_mask_of_another_scan_is_refused(scan: Path, tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "ball.nii.gz", nib.load(scan).affine, world_of(PATCH))
    far = nib.load(mask).affine.copy()
    far[:3, 3] += 900
    nib.save(nib.Nifti1Image(np.asarray(nib.load(mask).dataobj), far), mask)
    with pytest.raises(DataError, match=r"^--mask: \S+ball.nii.gz has no voxel in what the page shows; name"):
        locating.locate("run", scan, SENTENCES, [tmp_path / "page.html"], page=PageOptions([mask]))
    assert not (tmp_path / "page.html").exists()


def test_the_page_says_who_made_it_and_what_it_is_worth(scan: Path, tmp_path: Path) -> None:
    report = tmp_path / "a report.txt"
    report.write_text("Something bright. The heart is normal.")
    out = tmp_path / "page.html"
    locating.locate("run", scan, [], [out], findings=report, page=PageOptions(full_resolution=True))
    text = out.read_text(encoding="utf-8")
    command = (
        f"simcrop locate --checkpoint run --volume {scan} --report &#x27;{report}&#x27; --out {out} --full-resolution"
    )
    assert f"<dd>{command}</dd>" in text
    for told in ("<dd>run, step 7</dd>", "5a5a", "trained on blocks (data ffffffffffffffff)", "torch"):
        assert told in text
    for caution in ("not a medical device", "fits best, not whether it is true; trained on blocks.", "patient data"):
        assert caution in text


def test_the_page_says_where_a_score_stands_among_reference_scans(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = ReferenceScans(torch.tensor([[1.0, 0], [0, 1], [0, -1]]), torch.tensor([0, 1, 2]), held_out=True)
    monkeypatch.setattr(locating, "references_of", lambda checkpoint: references)
    locating.locate("run", scan, SENTENCES, [tmp_path / "page.html"])
    notes = [entry["notes"] for entry in data_of(tmp_path / "page.html")["shown"]]
    standings = [[note for note in each if "reference scans" in note] for each in notes]
    held_out = "of 3 reference scans held out of the training data"
    assert standings == [[f"higher than in {share} % {held_out}"] for share in (67, 100)]


@pytest.mark.parametrize("options", [PageOptions(full_resolution=True), PageOptions([Path("mask.nii")])])
def test_what_only_a_page_shows_is_refused_without_one(scan: Path, tmp_path: Path, options: PageOptions) -> None:
    with pytest.raises(InputError, match=r"^--mask, --full-resolution: are of pages alone; name one by --out"):
        locating.locate("run", scan, SENTENCES, [tmp_path / "map.nii"], page=options)


def test_without_the_viewer_nothing_is_computed(scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "BUNDLE", tmp_path / "nowhere.js")
    with pytest.raises(ConfigError, match="bring it with"):
        locating.locate("run", Path("nowhere.nii"), SENTENCES, [tmp_path / "page.html"])
