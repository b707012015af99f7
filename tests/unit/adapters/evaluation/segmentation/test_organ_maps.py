"""Volumes and their organs on the grid of segmentation."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from support.organ_data import CLASSES, HU, LPS, OBLIQUE, RAS, SHAPE, write_msd, write_truth

from simcrop.adapters.evaluation.segmentation.organ_maps import (
    CHEST,
    OrganMaps,
    annotated,
    class_names,
    read_classes,
)
from simcrop.adapters.formats.nifti import write_nifti
from simcrop.adapters.sources.btcv import BTCVSource
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.core.errors import ConfigError, DataError

CASE = "imagesTr/case0.nii.gz"
FIRST = "0.nii.gz"


@pytest.fixture
def msd(tmp_path: Path) -> BTCVSource:
    write_msd(tmp_path / "msd", [LPS, OBLIQUE])
    return BTCVSource(tmp_path / "msd")


@pytest.fixture
def manifest(tmp_path: Path) -> ManifestSource:
    return ManifestSource(write_truth(tmp_path / "truth", [RAS, LPS, OBLIQUE, RAS]))


def maps_of(source: BTCVSource | ManifestSource, cache: Path, spacing: float = 3.0) -> OrganMaps:
    return OrganMaps(source, CLASSES[1:], (spacing, spacing, spacing), cache)


def test_classes_are_those_of_the_list_or_those_asked_for(msd: BTCVSource, manifest: ManifestSource) -> None:
    assert class_names(msd, ()) == ("bone", "organ")
    assert class_names(msd, ["organ"]) == ("organ",)
    assert class_names(manifest, ()) == CHEST
    assert class_names(manifest, ["bone"]) == ("bone",)
    with pytest.raises(ConfigError, match=r"^segment.classes: dataset.json has no 'liver'; it has bone, organ$"):
        class_names(msd, ["bone", "liver"])
    with pytest.raises(ConfigError, match=r"^segment.classes: 256 are more than 255$"):
        class_names(manifest, [str(number) for number in range(256)])


def test_studies_without_masks_are_left_out_and_half_annotated_ones_refused(manifest: ManifestSource) -> None:
    found = annotated(manifest, manifest.studies(), ["bone", "organ"])
    assert [study.reconstructions for study in found] == [("0.nii.gz",), ("1.nii.gz",), ("2.nii.gz",)]
    with pytest.raises(DataError, match=r"0\.nii\.gz: has no mask of liver among bone, organ; add it, choose other"):
        annotated(manifest, manifest.studies(), ["bone", "liver"])


@pytest.mark.parametrize("number", [0, 1])
def test_organs_lie_where_their_hu_are(msd: BTCVSource, tmp_path: Path, number: int) -> None:
    """In an LPS and an oblique file: away from borders, the class of a voxel is told by its HU."""
    found = maps_of(msd, tmp_path / "cache").read(f"imagesTr/case{number}.nii.gz")
    assert found.voxels.dtype == torch.int16
    told = torch.stack([(found.voxels - hu).abs() < 100 for hu in HU])
    sure = told.any(0) & (found.voxels != -1000)
    agree = told.int().argmax(0)[sure] == found.classes[sure]
    assert agree.float().mean() > 0.99
    assert [int((found.classes == value).sum()) > 300 for value in (1, 2)] == [True, True]


def test_a_mask_is_the_same_from_one_file_or_from_several(msd: BTCVSource, manifest: ManifestSource) -> None:
    grid = torch.from_numpy(LPS)
    one, several = (
        read_classes(source, name, CLASSES[1:], grid, SHAPE) for source, name in ((msd, CASE), (manifest, "1.nii.gz"))
    )
    assert one.unique().tolist() == several.unique().tolist() == [0, 1, 2]
    flipped = read_classes(msd, CASE, ["organ", "bone"], grid, SHAPE)
    torch.testing.assert_close(flipped, torch.tensor([0, 2, 1], dtype=torch.uint8)[one.long()])


def test_where_organs_overlap_the_later_one_counts(manifest: ManifestSource, tmp_path: Path) -> None:
    whole = np.ones(SHAPE, np.uint8)
    write_nifti(tmp_path / "truth/ground_truth/0/organ.nii.gz", whole, RAS)
    grid = torch.from_numpy(RAS)
    assert (read_classes(manifest, FIRST, ["bone", "organ"], grid, SHAPE) == 2).all()
    counts = read_classes(manifest, FIRST, ["organ", "bone"], grid, SHAPE).flatten().bincount().tolist()
    assert counts[0] == 0
    assert counts[2] > 300


def test_what_is_made_is_kept_until_a_file_changes(manifest: ManifestSource, tmp_path: Path) -> None:
    maps = maps_of(manifest, tmp_path / "cache")
    before = maps.read(FIRST)
    [kept] = (tmp_path / "cache").rglob("*.npz")
    written = kept.stat().st_mtime_ns
    again = maps_of(manifest, tmp_path / "cache").read(FIRST)
    assert kept.stat().st_mtime_ns == written
    assert all(torch.equal(getattr(before, key), getattr(again, key)) for key in ("voxels", "classes", "affine"))
    write_nifti(tmp_path / "truth/ground_truth/0/bone.nii.gz", np.zeros(SHAPE, np.uint8), RAS)
    assert (maps.read(FIRST).classes == 1).sum() == 0
    assert maps_of(manifest, tmp_path / "cache", 4.0).read(FIRST).voxels.shape != before.voxels.shape
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 2


def test_masks_are_made_anew_when_their_values_get_other_names(msd: BTCVSource, tmp_path: Path) -> None:
    before = maps_of(msd, tmp_path / "cache").read(CASE)
    table = tmp_path / "msd/dataset.json"
    content = json.loads(table.read_text())
    content["labels"] = {"0": "background", "1": "organ", "2": "bone"}
    table.write_text(json.dumps(content))
    after = maps_of(BTCVSource(tmp_path / "msd"), tmp_path / "cache").read(CASE)
    swapped = torch.tensor([0, 2, 1], dtype=torch.uint8)[before.classes.long()]
    assert torch.equal(after.classes, swapped)
    assert not torch.equal(after.classes, before.classes)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_entry_is_made_anew(manifest: ManifestSource, tmp_path: Path, damage: str) -> None:
    maps = maps_of(manifest, tmp_path / "cache")
    before = maps.read(FIRST)
    [kept] = (tmp_path / "cache").rglob("*.npz")
    content = bytearray(kept.read_bytes())
    content[len(content) // 3] ^= 0xFF
    kept.write_bytes({"cut": content[: len(content) // 2], "flipped": content, "empty": b""}[damage])
    assert torch.equal(maps.read(FIRST).voxels, before.voxels)
    assert torch.equal(maps.read(FIRST).classes, before.classes)


def test_bad_volumes_are_told_after_the_others_are_made(msd: BTCVSource, tmp_path: Path) -> None:
    path = tmp_path / "msd/imagesTr/case0.nii.gz"
    path.write_bytes(path.read_bytes()[:-9])
    told: list[tuple[int, int]] = []
    maps = maps_of(msd, tmp_path / "cache")
    names = [study.reconstructions[0] for study in msd.studies()]
    with pytest.raises(DataError, match=r"case0\.nii\.gz: is cut off.*; or list the volume under data\.quarantine$"):
        maps.prepare(names, workers=1, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 2), (1, 2), (2, 2)]
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 1


def test_voxels_that_are_no_hu_are_refused(msd: BTCVSource, tmp_path: Path) -> None:
    write_nifti(tmp_path / "msd" / CASE, np.full(SHAPE, 7, np.int16), LPS)
    with pytest.raises(DataError, match=r"case0\.nii\.gz: holds the same value"):
        maps_of(msd, tmp_path / "cache").prepare([CASE], workers=1, progress=lambda done, total: None)


def test_the_files_behind_organs_are_named(msd: BTCVSource, manifest: ManifestSource, tmp_path: Path) -> None:
    assert msd.organ_files(CASE) == (tmp_path / "msd/dataset.json", tmp_path / "msd/labelsTr/case0.nii.gz")
    assert msd.organ_files("imagesTr/other.nii.gz") == ()
    folder = tmp_path / "truth/ground_truth/0"
    assert set(manifest.organ_files(FIRST)) == set(folder.iterdir())
    assert {path.name for path in manifest.organ_files("3.nii.gz")} == {"sentences.json"}
    content = json.loads((folder / "sentences.json").read_text())
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "sentences.json").write_text(json.dumps(content))
    assert [path.name for path in manifest.organ_files(FIRST) if path.exists()] == ["sentences.json"]
