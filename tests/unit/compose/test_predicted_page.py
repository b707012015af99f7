"""The findings and organs that pages of predictions list."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support.scan_pages import data_of

from simcrop.adapters.applying.row_folder import RowFolder
from simcrop.adapters.evaluation.classification.files import HeadLabels
from simcrop.adapters.evaluation.language.heat_map import PatchMap
from simcrop.adapters.loading.own_grid import OwnGrid
from simcrop.adapters.loading.own_volumes import SeenScan, WholeScan
from simcrop.adapters.pages import html
from simcrop.compose.predicted_page import (
    PredictedPages,
    about_prediction,
    finding_entries,
    sentence_entries,
    worth_of,
)
from simcrop.core.data.problems import problem
from simcrop.core.data.study import Volume

AFFINE = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0], dtype=torch.float64))
SHOWN = Volume(torch.zeros(8, 8, 8, dtype=torch.int16), torch.eye(4, dtype=torch.float64))
VOXELS = torch.zeros(4, 4, 4, dtype=torch.int16)
SEEN = SeenScan(VOXELS, AFFINE, (), SHOWN)


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PredictedPages:
    (tmp_path / "viewer.js").write_text("var niivue = {};")
    monkeypatch.setattr(html, "BUNDLE", tmp_path / "viewer.js")
    folder = RowFolder(tmp_path / "out", "predictions", {}, columns=["liver", "spleen"], has_pages=True)
    return PredictedPages(folder, "classes", "ml", 1, {"Model": "runs/a"}, ["a volume is no diagnosis"])


def test_a_finding_is_present_absent_or_not_decided() -> None:
    labels = HeadLabels(("a", "b", "c"), exclusive=False, learned_from="volumes", thresholds=(0.5, 0.25, math.nan))
    entries = finding_entries(labels, np.array([0.5, 0.125, 0.75, 1, 0, math.nan], np.float32))
    assert [(entry.title, entry.score, *entry.notes) for entry in entries] == [
        ("a", 0.5, "present, from 0.500"),
        ("b", 0.125, "absent, below 0.250"),
        ("c", 0.75, "no decision: the selection patients do not tell it"),
    ]


def test_of_exclusive_classes_the_most_probable_is_marked() -> None:
    labels = HeadLabels(("a", "b"), exclusive=True, learned_from="volumes", thresholds=())
    assert [list(entry.notes) for entry in finding_entries(labels, np.array([0.25, 0.75]))] == [
        [],
        ["the most probable"],
    ]


def test_a_sentence_has_the_map_that_it_was_scored_by_and_its_place() -> None:
    patches = np.zeros((2, 2, 2), np.float32)
    patches[1, 0, 1] = 1
    found = PatchMap(patches, np.ones((2, 2, 2), bool), (2, 2, 2), AFFINE.numpy())
    [entry] = sentence_entries(SEEN, {"Nodule": "A nodule is seen."}, np.array([0.5]), [found])
    assert (entry.title, entry.score, entry.notes[0]) == ("Nodule", 0.5, "A nodule is seen.")
    assert entry.best_mm == (5.0, 1.0, 5.0)
    assert entry.map is not None
    assert np.nanmax(entry.map.voxels) == 1


def test_organs_have_their_volume_and_a_place_and_strange_scans_are_told(pages: PredictedPages) -> None:
    note = problem(Path("a.nii.gz"), "content.no_lung", "holds next to no lung", share=0.0)
    scan = WholeScan(VOXELS, AFFINE, (note,), SHOWN, OwnGrid((8, 8, 8), (8, 8, 8), AFFINE))
    predicted = torch.zeros(4, 4, 4, dtype=torch.uint8)
    predicted[1, 2, 3] = 1
    pages.write_organs("scans/a.nii.gz", scan, predicted, [0.008, 0.0])
    page = pages.folder.page_file("scans/a.nii.gz")
    data = data_of(page)
    liver, spleen = data["shown"]
    assert (liver["score"], liver["notes"], spleen["score"], spleen["notes"]) == (0.008, [], 0.0, ["not found"])
    assert all(abs(mm - wanted) <= 1 for mm, wanted in zip(liver["best_mm"], (2, 4, 6), strict=True))
    assert spleen["best_mm"] is None
    assert data["scans"][0]["classes"]["truth"] is None
    text = page.read_text(encoding="utf-8")
    for told in (
        "The scan looks unlike those that the model knows: it holds next to no lung.",
        "A volume is no diagnosis.",
        "not a medical device",
        "holds patient data",
        "scans/a.nii.gz; shown: 1 x 1 x 1 mm a voxel",
        "<b>a.nii.gz</b><br>liver: ml 0.0<br>spleen: ml 0.0; not found",
    ):
        assert told in text


def test_the_command_makes_the_same_pages(tmp_path: Path) -> None:
    facts = about_prediction("runs/a b", "5a5a", [Path("x.nii.gz")], tmp_path, Path("p.yaml"))
    assert facts["Command"] == (
        f"simcrop predict x.nii.gz --checkpoint 'runs/a b' --prompts p.yaml --out {tmp_path} --pages"
    )
    assert facts["Weights, sha256"] == "5a5a"


def test_a_model_of_phantoms_is_told_of() -> None:
    assert worth_of("a", of_phantoms=False) == ["a"]
    assert worth_of("a", of_phantoms=True)[1].endswith("phantoms alone and has seen no patient")
