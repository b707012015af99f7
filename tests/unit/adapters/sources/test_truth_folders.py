"""Places that lie in a folder for each volume, for every data set that has such folders."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.data_folders import SHAPE, write_table, write_truth, write_volume

from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.adapters.sources.truth_folders import TruthFolders, WithTruthFolder, organ_source
from simcrop.core.errors import ConfigError, DataError


class _Folders(TruthFolders):
    def __init__(self, root: Path) -> None:
        self._root = root

    def _truth_folder(self, reconstruction: str) -> Path:
        return self._root / reconstruction


def test_sentences_organs_and_masks_are_read_from_the_folder_of_a_volume(tmp_path: Path) -> None:
    write_truth(tmp_path / "a", np.ones(SHAPE))
    folders = _Folders(tmp_path)
    assert [truth.mask for truth in folders.ground_truth("a")] == ["01.nii.gz", None]
    assert folders.organs("a") == {"trachea": "01.nii.gz"}
    assert folders.organ_files("a") == (tmp_path / "a/sentences.json", tmp_path / "a/01.nii.gz")
    assert folders.read_mask("a", "01.nii.gz").voxels.all()


def test_a_volume_without_a_folder_has_nothing(tmp_path: Path) -> None:
    folders = _Folders(tmp_path)
    assert (folders.ground_truth("b"), folders.organs("b")) == ((), {})
    assert folders.organ_files("b") == (tmp_path / "b/sentences.json",)


@pytest.fixture
def data(tmp_path: Path) -> ManifestSource:
    write_volume(tmp_path / "data/sub/a.nii.gz")
    row = {"volume": "sub/a.nii.gz", "findings": "Normal.", "impression": "Normal.", "mass": 1}
    write_table(tmp_path / "data/reports.csv", [row])
    return ManifestSource(tmp_path / "data/reports.csv")


@pytest.mark.parametrize("name", ["sub/a.nii.gz", "sub/a.nii", "sub/a"])
def test_masks_of_another_folder_replace_those_of_the_data(tmp_path: Path, data: ManifestSource, name: str) -> None:
    mask = np.zeros(SHAPE)
    mask[0, 1, 2] = 1
    write_truth(tmp_path / "masks/sub/a", mask)
    there = WithTruthFolder(data, tmp_path / "masks")
    nodule, other = there.ground_truth(name)
    assert (nodule.text, nodule.finding, nodule.mask, other.mask) == ("A nodule.", "Lung nodule", "01.nii.gz", None)
    assert torch.equal(there.read_mask(name, "01.nii.gz").voxels.nonzero(), torch.tensor([[0, 1, 2]]))
    assert data.ground_truth("sub/a.nii.gz") == ()
    assert there.ground_truth("b.nii.gz") == ()
    assert (there.label_names, there.identity) == (("mass",), data.identity)


def test_the_folder_has_to_be_there_and_is_not_left(tmp_path: Path, data: ManifestSource) -> None:
    with pytest.raises(ConfigError, match=r"^grounding.folder: .*nowhere does not exist; name a folder as in docs/"):
        WithTruthFolder(data, tmp_path / "nowhere")
    with pytest.raises(DataError, match="lies outside"):
        WithTruthFolder(data, tmp_path / "data").ground_truth("../elsewhere/a.nii.gz")


def test_organs_are_those_of_the_data_set_or_of_a_folder_elsewhere(tmp_path: Path, data: ManifestSource) -> None:
    assert organ_source(data, None) is data
    left = np.zeros(SHAPE)
    left[:3] = 1
    write_volume(tmp_path / "masks/sub/a/lung_left.nii.gz", left)
    write_volume(tmp_path / "masks/sub/a/heart.nii.gz", 1 - left)
    there = organ_source(data, tmp_path / "masks")
    assert there.organs("sub/a.nii.gz") == {"heart": "heart.nii.gz", "lung_left": "lung_left.nii.gz"}
    assert there.organs("b.nii.gz") == {}
    lung, heart = there.read_masks("sub/a.nii.gz", ["lung_left.nii.gz", "heart.nii.gz"])
    assert torch.equal(lung.voxels, torch.from_numpy(left).to(lung.voxels.dtype))
    assert torch.equal(heart.voxels, 1 - lung.voxels)
    assert there.identity not in {data.identity, organ_source(data, tmp_path).identity}
    with pytest.raises(ConfigError, match=r"^data.organ_masks: .*nowhere does not exist; name a folder as in docs/"):
        organ_source(data, tmp_path / "nowhere")
