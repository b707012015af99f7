"""LUNA16: subsets, nodules, lung masks, padding."""

from pathlib import Path

import numpy as np
import pytest
from support.data_folders import SHAPE, chest, write_table
from support.landmarks import codes, found_at, with_landmark
from support.metaimages import write_mhd

from simcrop.adapters.sources.luna16 import LABEL, Luna16Source
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.errors import DataError

FIRST, SECOND = "1.3.6.1.4.1.14519.5.2.1.6279.6001.100", "1.3.6.1.4.1.14519.5.2.1.6279.6001.200"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_mhd(tmp_path / "subset3" / f"{SECOND}.mhd", chest(1))
    write_mhd(tmp_path / "subset0" / f"{FIRST}.mhd")
    return tmp_path


def _annotate(path: Path, *series: str) -> None:
    rows = [{"seriesuid": uid, "coordX": 1.0, "coordY": 2.0, "coordZ": 3.0, "diameter_mm": 5.0} for uid in series]
    write_table(path, rows)


def test_every_series_of_the_subsets_is_a_study(root: Path) -> None:
    source = Luna16Source(root)
    assert source.label_names == ()
    assert [(study.study_id, study.patient_id, study.split) for study in source.studies()] == [
        (FIRST, FIRST, None),
        (SECOND, SECOND, None),
    ]
    assert source.volume_file(SECOND) == root / "subset3" / f"{SECOND}.raw"
    assert set(source.files()) == {source.volume_file(FIRST), source.volume_file(SECOND)}


@pytest.mark.parametrize("folder", [".", "CSVFILES"])
def test_series_with_an_annotation_have_a_nodule(root: Path, folder: str) -> None:
    _annotate(root / folder / "annotations.csv", SECOND, SECOND, "1.2.3")
    told: list[Problem] = []
    source = Luna16Source(root, on_problem=told.append)
    assert source.label_names == (LABEL,)
    assert [study.labels for study in source.studies()] == [{LABEL: 0}, {LABEL: 1}]
    assert [(found.code, found.values) for found in told] == [("set.partial_download", {"series": 1})]


def test_a_row_without_a_series_is_told_by_its_line(root: Path) -> None:
    write_table(root / "Annotations.tsv", [{"seriesuid": uid, "coordX": 1} for uid in (SECOND, "nan")])
    told: list[Problem] = []
    source = Luna16Source(root, on_problem=told.append)
    assert [study.labels[LABEL] for study in source.studies()] == [0, 1]
    assert [(found.code, found.values["line"]) for found in told] == [("text.value", 3)]


def test_a_table_without_series_is_refused(root: Path) -> None:
    write_table(root / "annotations.csv", [{"uid": FIRST}])
    with pytest.raises(BadFileError, match="lacks the column 'seriesuid'"):
        Luna16Source(root)


def test_a_landmark_comes_out_at_its_place(root: Path) -> None:
    write_mhd(root / "subset0" / f"{FIRST}.mhd", with_landmark(chest(), (15, 0, 9)))
    assert found_at(Luna16Source(root).read_volume(FIRST)) == [55, 80.5, -255]


def test_what_scanners_pad_with_is_read_as_air(root: Path) -> None:
    voxels = chest()
    voxels[:3] = -3024
    voxels[3] = -2000
    write_mhd(root / "subset0" / f"{FIRST}.mhd", voxels)
    source = Luna16Source(root)
    read = source.read_volume(FIRST).voxels.numpy()[::-1, ::-1]
    assert (read[:4] == -1000).all()
    np.testing.assert_array_equal(read[4:], voxels[4:])
    assert codes(source.inspect, FIRST) == []


def test_voxels_without_sign_are_read(root: Path) -> None:
    voxels = (chest() + 1024).astype(np.uint16)
    write_mhd(root / "subset0" / f"{FIRST}.mhd", voxels, ElementType="MET_USHORT")
    source = Luna16Source(root)
    np.testing.assert_array_equal(source.read_volume(FIRST).voxels.numpy()[::-1, ::-1], voxels)
    assert codes(source.inspect, FIRST) == ["content.raw_values"]


def test_lungs_and_trachea_are_organs(root: Path) -> None:
    values = np.zeros(SHAPE, np.uint8)
    values[2, 3, 4], values[5, 6, 7], values[8, 9, 1] = 3, 4, 5
    write_mhd(root / "seg-lungs-LUNA16" / f"{FIRST}.mhd", values, ElementType="MET_UCHAR", CompressedData="True")
    source = Luna16Source(root)
    assert list(source.organs(FIRST)) == ["lungs", "left_lung", "right_lung", "trachea"]
    assert source.organs(SECOND) == {}
    lungs = source.read_mask(FIRST, "lungs").voxels.numpy()[::-1, ::-1]
    np.testing.assert_array_equal(lungs, np.isin(values, (3, 4)))
    assert found_at(source.read_mask(FIRST, "trachea")) == [76, 62.5, -295]
    with pytest.raises(DataError, match="has no mask 'heart'; it has lungs, left_lung, right_lung, trachea"):
        source.read_mask(FIRST, "heart")
    with pytest.raises(DataError, match="has no mask 'lungs'"):
        source.read_mask(SECOND, "lungs")


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [(2, 12, 12), (12, 2, 12), (None, 12, 12), (12, None, 12), (None, 2, None), (2, None, None)],
)
def test_the_sides_of_the_lungs_follow_from_their_places(
    root: Path, first: int | None, second: int | None, left: int | None
) -> None:
    """Indices along the stored x axis, which runs to the patient's left, as the header says."""
    values = np.zeros(SHAPE, np.uint8)
    for value, place in ((3, first), (4, second)):
        if place is not None:
            values[place, 3:6, 4] = value
    write_mhd(root / "seg-lungs-LUNA16" / f"{FIRST}.mhd", values, ElementType="MET_UCHAR")
    source = Luna16Source(root)
    found = {side: source.read_mask(FIRST, f"{side}_lung").voxels.numpy()[::-1, ::-1] for side in ("left", "right")}
    expected_left = np.zeros(SHAPE, bool)
    if left is not None:
        expected_left[left, 3:6, 4] = True
    np.testing.assert_array_equal(found["left"] > 0, expected_left)
    np.testing.assert_array_equal(found["right"] > 0, (values > 0) & ~expected_left)


def test_the_files_behind_the_organs_are_named(root: Path) -> None:
    mask = write_mhd(root / "seg-lungs-LUNA16" / f"{FIRST}.mhd", np.zeros(SHAPE, np.uint8), ElementType="MET_UCHAR")
    source = Luna16Source(root)
    assert source.organ_files(FIRST) == (mask.with_suffix(".raw"), mask)
    assert source.organ_files(SECOND) == ()


def test_a_damaged_volume_is_told_by_its_code(root: Path) -> None:
    path = root / "subset0" / f"{FIRST}.raw"
    path.write_bytes(path.read_bytes()[:-1])
    source = Luna16Source(root)
    assert codes(source.inspect, FIRST) == ["container.truncated"]
    path.unlink()
    assert codes(source.inspect, FIRST) == ["container.missing"]
    assert source.volume_file(FIRST).suffix == ".mhd"


def test_listing_opens_no_volume_and_quarantine_is_kept(root: Path) -> None:
    for path in root.rglob("*.mhd"):
        path.write_bytes(b"")
    source = Luna16Source(root, quarantine=[FIRST])
    assert [study.study_id for study in source.studies()] == [SECOND]
    assert [path.stem for path in source.files()] == [SECOND]


def test_links_and_names_stay_in_the_folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = write_mhd(tmp_path_factory.mktemp("outside") / "9.9.mhd")
    (root / "subset1").symlink_to(outside.parent)
    told: list[Problem] = []
    source = Luna16Source(root, on_problem=told.append)
    assert [found.code for found in told] == ["safety.outside"]
    assert "9.9" not in {study.study_id for study in source.studies()}
    with pytest.raises(DataError, match="outside"):
        source.read_volume("9.9")
    with pytest.raises(DataError, match="is no series in"):
        source.read_volume("../9.9")


def test_a_series_in_two_subsets_is_read_once(root: Path) -> None:
    write_mhd(root / "subset9" / f"{FIRST}.mhd")
    told: list[Problem] = []
    source = Luna16Source(root, on_problem=told.append)
    assert [found.code for found in told] == ["set.duplicate"]
    assert source.volume_file(FIRST).parent.name == "subset0"
    assert len(source.studies()) == 2


def test_a_folder_without_volumes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=r"holds no volume like subset0/UID\.mhd"):
        Luna16Source(tmp_path)
