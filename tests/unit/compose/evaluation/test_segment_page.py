"""The page of a segmentation: the studies of its pictures, with the organs that were found and the true ones."""

import base64
import csv
import gzip
import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from support.organ_data import CLASSES, boxes
from support.scan_pages import data_of
from support.segmenting import SHORT, msd_config, options, segment

from simcrop.adapters.pages import html

pytest.importorskip("monai", reason="MONAI is not installed")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learned")
    (folder / "viewer.js").write_text("var niivue = {};")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "BUNDLE", folder / "viewer.js")
        assert segment(msd_config(folder / "msd"), folder / "out", *options(*SHORT, "segment.steps=30")) == 0
    return folder / "out"


def voxels(coded: dict[str, Any]) -> Any:
    image = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(coded["nifti"])))
    return np.asarray(image.dataobj), image.affine


def test_organs_have_their_dice_volume_and_centre(learned: Path) -> None:
    data = data_of(learned / "page.html")
    with (learned / "predictions.csv").open() as file:
        rows = {(row["study_id"], row["class"]): row for row in csv.DictReader(file)}
    heads = [re.fullmatch(r"(\w+): (.+), mean Dice ([\d.]+)", scan["head"]) for scan in data["scans"]]
    assert [head and head[1] for head in heads] == ["worst", "best"]
    assert len(data["shown"]) == 2 * (len(CLASSES) - 1)
    for entry in data["shown"]:
        head, scan = heads[entry["scan"]], data["scans"][entry["scan"]]
        assert head is not None
        row = rows[head[2], entry["title"]]
        assert entry["score"] == pytest.approx(float(row["dice"]), abs=1e-4)
        found, true = (float(row[name]) for name in ("volume_ml", "true_volume_ml"))
        assert entry["notes"][0] == f"{found:.0f} ml, truth {true:.0f} ml"
        predicted, affine = voxels(scan["classes"])
        truth, _ = voxels(scan["classes"]["truth"])
        number = CLASSES.index(entry["title"])
        assert entry["of_class"] == number
        shown = predicted if (predicted == number).any() else truth
        x, y, z = np.rint((np.linalg.inv(affine) @ (*entry["best_mm"], 1))[:3]).astype(int)
        assert shown[x, y, z] == number
        volume = np.abs(np.linalg.det(affine)) / 1000
        assert volume * (predicted == number).sum() == pytest.approx(found, rel=0.1, abs=0.5)
        assert volume * (truth == number).sum() == pytest.approx(true, rel=0.1)


def test_the_true_organs_lie_where_they_do_in_the_scan(learned: Path) -> None:
    scan = data_of(learned / "page.html")["scans"][0]
    codes, affine = voxels(scan)
    truth, same = voxels(scan["classes"]["truth"])
    assert np.array_equal(affine, same)
    hu = codes * float(scan["step"]) + scan["low"]
    bone, organ = (np.median(hu[truth == number]) for number in (1, 2))
    assert bone > 700
    assert organ < -400
    assert len(scan["classes"]["colours"]) == len(CLASSES) - 1
    assert {int(value) for value in np.unique(truth)} == {int(value) for value in np.unique(boxes(0)[1])}


def test_the_page_names_the_network_and_has_a_picture_of_each_study(learned: Path) -> None:
    text = (learned / "page.html").read_text(encoding="utf-8")
    content = json.loads((learned / "segmenter/config.json").read_text())
    for told in (content["sha256"], str(learned / "segmenter"), "simcrop eval segment", "not a medical device"):
        assert told in text
    assert "holds patient data" in text
    captions = re.findall(r"<figcaption><b>(\w+): .*?</b><br>(\w+): Dice", text)
    assert captions == [("worst", "bone"), ("best", "bone")]
