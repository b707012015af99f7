"""BTCV: pairs of volume and mask as dataset.json lists them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.data_folders import AFFINE, SHAPE, chest, write_volume
from support.landmarks import codes, found_at, with_landmark

from simcrop.adapters.sources.btcv import BTCVSource
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.errors import DataError

LABELS = {"0": "background", "1": "spleen", "2": "right kidney"}
FIRST, SECOND = "imagesTr/img0001.nii.gz", "imagesTr/img0002.nii.gz"


def _pair(number: int) -> dict[str, str]:
    return {"image": f"./imagesTr/img{number:04}.nii.gz", "label": f"labelsTr/label{number:04}.nii.gz"}


def _write_table(root: Path, **content: Any) -> None:
    table = {"labels": LABELS, "training": [_pair(1), _pair(2)], "test": ["./imagesTs/img0061.nii.gz"], **content}
    table = {key: value for key, value in table.items() if value is not None}
    (root / "dataset.json").write_text(json.dumps(table), encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in (1, 2):
        values = np.zeros(SHAPE, np.uint8)
        values[number, 2, 3], values[4, 5, 6] = 1, 2
        write_volume(tmp_path / _pair(number)["image"], chest(number))
        write_volume(tmp_path / _pair(number)["label"], values)
    _write_table(tmp_path)
    return tmp_path


def test_every_pair_is_a_study(root: Path) -> None:
    source = BTCVSource(root)
    assert [(study.study_id, study.split, study.labels) for study in source.studies()] == [
        (FIRST, None, {}),
        (SECOND, None, {}),
    ]
    assert source.class_names == ("background", "spleen", "right kidney")
    assert source.label_names == ()
    assert source.label_file(SECOND) == root / "labelsTr/label0002.nii.gz"
    assert list(source.files()) == [root / FIRST, root / SECOND]
    assert list(source.ground_truth(FIRST)) == []


def test_a_validation_part_decides_the_split(root: Path) -> None:
    _write_table(root, training=[_pair(2)], validation=[_pair(1)])
    assert {study.study_id: study.split for study in BTCVSource(root).studies()} == {
        FIRST: "validation",
        SECOND: "train",
    }


def test_volume_and_masks_lie_on_each_other(root: Path) -> None:
    write_volume(root / FIRST, with_landmark(chest(), (1, 2, 3)))
    source = BTCVSource(root)
    assert found_at(source.read_volume(FIRST)) == [3, 6, 18]
    assert source.organs(FIRST) == {"spleen": "spleen", "right kidney": "right kidney"}
    assert found_at(source.read_mask(FIRST, "spleen")) == [3, 6, 18]
    assert found_at(source.read_mask(FIRST, "right kidney")) == [12, 15, 36]
    assert int(source.read_classes(FIRST).voxels.sum()) == 3
    with pytest.raises(DataError, match="has no mask 'liver'; it has spleen, right kidney"):
        source.read_mask(FIRST, "liver")


def test_a_flipped_volume_and_mask_are_turned_alike(root: Path) -> None:
    flipped = AFFINE * np.array([[-1], [1], [1], [1]])
    write_volume(root / FIRST, with_landmark(chest(), (1, 2, 3)), flipped)
    values = np.zeros(SHAPE, np.uint8)
    values[1, 2, 3] = 1
    write_volume(root / "labelsTr/label0001.nii.gz", values, flipped)
    source = BTCVSource(root)
    assert found_at(source.read_volume(FIRST)) == found_at(source.read_mask(FIRST, "spleen")) == [-3, 6, 18]


def test_a_value_without_a_class_is_refused(root: Path) -> None:
    values = np.zeros(SHAPE, np.uint8)
    values[0] = 3
    write_volume(root / "labelsTr/label0001.nii.gz", values)
    with pytest.raises(BadFileError, match=r"holds the value 3, and dataset\.json names 3 classes") as refused:
        BTCVSource(root).read_classes(FIRST)
    assert refused.value.problem.code == "text.value"


def test_volume_and_mask_are_both_inspected(root: Path) -> None:
    source = BTCVSource(root)
    assert codes(source.inspect, FIRST) == []
    for name, offset in ((FIRST, -3), ("labelsTr/label0001.nii.gz", -1)):
        path = root / name
        whole = path.read_bytes()
        path.write_bytes(whole[:offset])
        assert codes(source.inspect, FIRST) == ["container.truncated"]
        path.write_bytes(whole)


def test_padding_is_read_as_air(root: Path) -> None:
    voxels = chest()
    voxels[0] = -2000
    write_volume(root / FIRST, voxels)
    assert (BTCVSource(root, padding_value=-2000).read_volume(FIRST).voxels[0] == -1000).all()
    for padding_value, expected in ((None, ["content.padding"]), (-2000, []), ((-3024, -2000), [])):
        told: list[Problem] = []
        BTCVSource(root, padding_value=padding_value).inspect(FIRST, told.append)
        assert [found.code for found in told if found.code == "content.padding"] == expected
        assert [found.code for found in told if found.severity == "error"] == []
    assert BTCVSource(root).identity != BTCVSource(root, padding_value=-2000).identity


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"labels": None}, "text.column"),
        ({"labels": ["background", "spleen"]}, "text.column"),
        ({"labels": {"0": "background", "2": "spleen"}}, "text.column"),
        ({"labels": {"0": "background", "1": "spleen", "2": "spleen"}}, "text.column"),
        ({"labels": {"0": "background"}}, "text.column"),
        ({"training": None}, "set.no_studies"),
        ({"training": []}, "set.no_studies"),
        ({"training": ["imagesTr/img0001.nii.gz"]}, "text.value"),
        ({"training": [{"image": FIRST}]}, "text.value"),
        ({"training": 3}, "text.value"),
        ({"training": [_pair(1), _pair(1)]}, "text.duplicate_row"),
        ({"training": [_pair(1), _pair(3)]}, "set.row_without_file"),
        ({"training": [{**_pair(1), "label": "labelsTr/label0009.nii.gz"}]}, "set.row_without_file"),
        ({"training": [{**_pair(1), "image": "../img0001.nii.gz"}]}, "safety.outside"),
        ({"training": [{**_pair(1), "label": "/etc/label0001.nii.gz"}]}, "safety.outside"),
    ],
)
def test_a_wrong_table_is_refused_by_its_code(root: Path, content: dict[str, Any], code: str) -> None:
    _write_table(root, **content)
    with pytest.raises(BadFileError) as refused:
        BTCVSource(root)
    assert refused.value.problem.code == code


def test_what_cannot_be_used_is_told_and_left_out(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "label.nii.gz"
    write_volume(outside)
    (root / "labelsTr/label0002.nii.gz").unlink()
    (root / "labelsTr/label0002.nii.gz").symlink_to(outside)
    _write_table(root, training=[_pair(1), _pair(2), _pair(3)])
    told: list[Problem] = []
    source = BTCVSource(root, on_problem=told.append)
    assert [found.code for found in told] == ["safety.outside", "set.row_without_file"]
    assert [study.study_id for study in source.studies()] == [FIRST]
    with pytest.raises(DataError, match="outside"):
        source.read_classes(SECOND)
    with pytest.raises(DataError, match="is paired with no mask"):
        source.label_file("imagesTr/img0099.nii.gz")


@pytest.mark.parametrize(
    ("text", "code"), [(None, "container.missing"), ("{", "container.format"), ("[]", "container.format")]
)
def test_an_absent_or_damaged_table_is_refused(root: Path, text: str | None, code: str) -> None:
    path = root / "dataset.json"
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(BadFileError) as refused:
        BTCVSource(root)
    assert refused.value.problem.code == code


def test_listing_opens_no_volume_and_quarantine_is_kept(root: Path) -> None:
    for path in root.rglob("*.nii.gz"):
        path.write_bytes(b"")
    source = BTCVSource(root, quarantine=[FIRST])
    assert [study.study_id for study in source.studies()] == [SECOND]
    assert list(source.files()) == [root / SECOND]
