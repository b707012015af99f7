"""Masks of sentences and organs in a folder: its list is believed in nothing but names beside it."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.data_folders import AFFINE, chest, write_truth
from support.volume_formats import write_as

from simcrop.adapters.formats.ground_truth import GroundTruth, organ_files, read_ground_truth, read_mask
from simcrop.core.data.study import SentenceTruth
from simcrop.core.errors import DataError

MASK = chest() > 0


def listed(folder: Path, content: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "sentences.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_a_folder_says_what_its_masks_are(tmp_path: Path) -> None:
    write_truth(tmp_path / "a", MASK)
    truth = read_ground_truth(tmp_path / "a")
    assert truth.organs == {"trachea": "01.nii.gz"}
    assert truth.sentences[0] == SentenceTruth("A nodule.", "Lung nodule", True, "01.nii.gz")
    np.testing.assert_array_equal(read_mask(tmp_path / "a", "01.nii.gz").voxels.numpy(), MASK)
    assert organ_files(tmp_path / "a") == (tmp_path / "a/sentences.json", tmp_path / "a/01.nii.gz")
    assert read_ground_truth(tmp_path / "none") == GroundTruth()


@pytest.mark.parametrize("name", ["m.mha", "m.nrrd", "m.nhdr", "m.mhd", "m.nii"])
def test_a_mask_may_have_any_format(tmp_path: Path, name: str) -> None:
    write_as(tmp_path / name, MASK.astype(np.uint8), AFFINE, is_packed=True)
    found = read_mask(tmp_path, name)
    np.testing.assert_array_equal(found.voxels.numpy(), MASK)
    np.testing.assert_allclose(found.affine.numpy(), AFFINE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ([], "has no version 1"),
        ({"version": 2, "sentences": []}, "has no version 1"),
        ({"version": 1}, "misses 'sentences'"),
        ({"version": 1, "sentences": {}}, "has {} as 'sentences'"),
        ({"version": 1, "sentences": [], "organs": ["lung"]}, "as 'organs'"),
        ({"version": 1, "sentences": [7]}, "entry 1 of 'sentences' is 7"),
        ({"version": 1, "sentences": [{"text": "A."}]}, "misses 'finding'"),
        ({"version": 1, "sentences": [], "organs": {"lung": "../a.nii.gz"}}, "in the same folder"),
        ({"version": 1, "sentences": [], "organs": {"lung": 3}}, "in the same folder"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path: Path, content: object, message: str) -> None:
    folder = listed(tmp_path / "a", content)
    with pytest.raises(DataError, match=r"sentences\.json") as refused:
        read_ground_truth(folder)
    assert message in str(refused.value)


def test_no_mask_is_read_from_another_folder(tmp_path: Path) -> None:
    for name in ("../a.nii.gz", "/etc/passwd", "..", ""):
        with pytest.raises(DataError, match="in the same folder"):
            read_mask(tmp_path, name)


def test_a_folder_without_a_list_holds_masks_named_after_organs(tmp_path: Path) -> None:
    for name in (
        "lung_upper_lobe_left.nii.gz",
        "heart.NII.GZ",
        "aorta.mha",
        "statistics.json",
        "preview.png",
        "._x.nii",
    ):
        (tmp_path / name).touch()
    truth = read_ground_truth(tmp_path)
    assert truth.sentences == ()
    assert truth.organs == {
        "aorta": "aorta.mha",
        "heart": "heart.NII.GZ",
        "lung_upper_lobe_left": "lung_upper_lobe_left.nii.gz",
    }
    assert {path.name for path in organ_files(tmp_path)} == {"sentences.json", *truth.organs.values()}
    (tmp_path / "heart.nrrd").touch()
    with pytest.raises(DataError, match=r"holds heart\.NII\.GZ and heart\.nrrd, both of heart; keep one of them$"):
        read_ground_truth(tmp_path)
