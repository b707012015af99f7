"""Places that lie in a folder for each volume, for every data set that has such folders."""

from pathlib import Path

import numpy as np
from support.data_folders import SHAPE, write_truth

from simcrop.adapters.sources.truth_folders import TruthFolders


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
