"""RAD-ChestCT: parts, labels, axes, and .npz files that are not what they say."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.data_folders import chest, write_table
from support.landmarks import codes, flip_byte, found_at, is_ras, slices_first, with_landmark

from simcrop.adapters.sources.radchestct import RadChestCTSource
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.errors import DataError

VOXELS = slices_first(chest())


def write_npz(path: Path, voxels: np.ndarray = VOXELS, key: str = "ct") -> None:
    np.savez_compressed(path, **{key: voxels})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("trn00001", "trn00002", "val00001", "tst00001"):
        write_npz(tmp_path / f"{name}.npz")
    return tmp_path


def _label_rows(*names: str) -> list[dict[str, object]]:
    columns = ("nodule*left_lung", "nodule*right_lung", "mass*heart")
    return [{"NoteAcc_DEID": name, **dict.fromkeys(columns, 0)} for name in names]


def test_the_part_decides_the_split_and_the_test_part_is_left_out(root: Path) -> None:
    splits = {study.study_id: study.split for study in RadChestCTSource(root).studies()}
    assert splits == {"trn00001": "train", "trn00002": "train", "val00001": "validation"}
    tested = RadChestCTSource(root, held_out="tst")
    assert {study.study_id: study.split for study in tested.studies()}["tst00001"] == "validation"
    assert [path.stem for path in tested.files()] == ["trn00001", "trn00002", "tst00001"]


def test_a_study_has_no_report_and_is_a_patient_of_its_own(root: Path) -> None:
    study = RadChestCTSource(root).studies()[0]
    assert (study.patient_id, study.reconstructions, study.labels) == ("trn00001", ("trn00001",), {})
    assert (study.report.findings, study.report.impression) == ("", "")
    assert list(RadChestCTSource(root).ground_truth("trn00001")) == []
    with pytest.raises(DataError, match="has no mask 'lungs'"):
        RadChestCTSource(root).read_mask("trn00001", "lungs")


def test_a_label_is_one_where_any_location_is(root: Path) -> None:
    rows = _label_rows("trn00001", "trn00002")
    rows[1]["nodule*right_lung"] = 1
    write_table(root / "imgtrain_Abnormality_and_Location_Labels.csv", rows)
    source = RadChestCTSource(root)
    assert source.label_names == ("nodule", "mass")
    labels = {study.study_id: study.labels for study in source.studies()}
    assert labels["trn00001"] == {"nodule": 0, "mass": 0}
    assert labels["trn00002"] == {"nodule": 1, "mass": 0}
    assert labels["val00001"] == {}


def test_rows_without_volume_and_volumes_without_row_are_told(root: Path) -> None:
    write_table(root / "imgtrain_Abnormality_and_Location_Labels.csv", _label_rows("trn00001", "trn00009"))
    told: list[Problem] = []
    source = RadChestCTSource(root, on_problem=told.append)
    assert {found.code: found.values.get("rows") for found in told} == {
        "set.file_without_row": None,
        "set.partial_download": 1,
    }
    assert [study.study_id for study in source.studies()] == ["trn00001", "val00001"]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([{"Note": "trn00001", "nodule*heart": 0}], "text.column"),
        ([{"NoteAcc_DEID": "trn00001", "nodule": 0}], "text.column"),
        ([{"NoteAcc_DEID": "trn00001", "nodule*heart": "7"}], "text.value"),
    ],
)
def test_a_wrong_table_is_refused(root: Path, rows: list[dict[str, object]], code: str) -> None:
    write_table(root / "imgtrain_Abnormality_and_Location_Labels.csv", rows)
    with pytest.raises(BadFileError) as refused:
        RadChestCTSource(root)
    assert refused.value.problem.code == code


@pytest.mark.parametrize(
    ("index", "world_mm"),
    [
        ((0, 0, 0), [0, 0, 0]),
        ((9, 0, 0), [0, 0, -7.2]),
        ((0, 13, 0), [0, -10.4, 0]),
        ((0, 0, 15), [-12, 0, 0]),
    ],
)
def test_slices_run_to_the_feet_rows_to_the_back_columns_to_the_left(
    root: Path, index: tuple[int, int, int], world_mm: list[float]
) -> None:
    write_npz(root / "trn00001.npz", with_landmark(VOXELS, index))
    volume = RadChestCTSource(root).read_volume("trn00001")
    assert found_at(volume) == world_mm
    assert is_ras(volume)
    assert volume.voxels.shape == (16, 14, 10)
    assert volume.spacing_mm == pytest.approx((0.8, 0.8, 0.8))


def test_fortran_order_is_the_same_volume(root: Path) -> None:
    write_npz(root / "trn00002.npz", np.asfortranarray(VOXELS))
    source = RadChestCTSource(root)
    assert source.read_volume("trn00001").voxels.equal(source.read_volume("trn00002").voxels)


def test_a_sound_volume_has_a_hash_and_no_error(root: Path) -> None:
    source = RadChestCTSource(root)
    assert codes(source.inspect, "trn00001") == []
    assert source.inspect("trn00001", lambda _: None) == source.inspect("trn00002", lambda _: None)


def _repacked(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ct.npy", data)
    return packed.getvalue()


def _npy(voxels: np.ndarray = VOXELS) -> bytes:
    file = io.BytesIO()
    np.save(file, voxels)
    return file.getvalue()


def _stored_with_wrong_crc() -> bytes:
    packed = io.BytesIO()
    np.savez(packed, ct=VOXELS)
    data = bytearray(packed.getvalue())
    data[-500] ^= 0xFF
    return bytes(data)


WHOLE = _repacked(_npy())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "container.empty"),
        (b"<!DOCTYPE html>", "container.html"),
        (b"version https://git-lfs.github.com/spec/v1\n", "container.lfs_pointer"),
        (_npy(), "container.format"),
        (WHOLE[:-1], "container.truncated"),
        (WHOLE[: len(WHOLE) // 2], "container.truncated"),
        (WHOLE + b"\x00", "container.trailing"),
        (WHOLE + WHOLE, "container.trailing"),
        (_stored_with_wrong_crc(), "container.crc"),
        (_repacked(_npy()[:-2]), "container.length"),
        (_repacked(_npy() + b"\0\0"), "container.length"),
        (_repacked(b"no array"), "container.corrupt"),
        (_repacked(_npy().replace(b"(10, 14, 16)", b"(10, 14, 16 ")), "container.corrupt"),
        (_repacked(_npy().replace(b"(10, 14, 16)", b"(10, 14,160)")), "container.length"),
        (_repacked(_npy(VOXELS[0])), "content.not_3d"),
        (_repacked(_npy(VOXELS[:0])), "header.dims"),
        (_repacked(_npy(VOXELS.astype(complex))), "header.datatype"),
        (_repacked(_npy(VOXELS.astype(object))), "safety.pickle"),
        (_repacked(_npy(np.where(VOXELS > 60, np.nan, VOXELS))), "content.not_finite"),
    ],
)
def test_a_damaged_file_is_refused_by_its_code(root: Path, data: bytes, code: str) -> None:
    (root / "trn00001.npz").write_bytes(data)
    source = RadChestCTSource(root)
    with pytest.raises(BadFileError) as refused:
        source.read_volume("trn00001")
    assert refused.value.problem.code == code
    assert codes(source.inspect, "trn00001") == [code]


def test_a_pickled_array_runs_no_code(root: Path, tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self):
            return Path.write_text, (tmp_path / "ran", "code")

    write_npz(root / "trn00001.npz", np.array([[[Runs()]]], dtype=object))
    assert codes(RadChestCTSource(root).inspect, "trn00001") == ["safety.pickle"]
    assert not (tmp_path / "ran").exists()


def test_a_flipped_byte_is_seen(root: Path) -> None:
    path = root / "trn00001.npz"
    for offset in range(60, path.stat().st_size, 211):
        write_npz(path)
        flip_byte(path, offset)
        assert codes(RadChestCTSource(root).inspect, "trn00001"), offset


def test_a_bomb_is_not_unpacked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcrop.adapters.problems.paths.BOMB_BYTES", 1 << 20)
    write_npz(root / "trn00001.npz", np.zeros((9, 512, 512), np.int16))
    assert codes(RadChestCTSource(root).inspect, "trn00001") == ["container.bomb"]


def test_a_claim_of_many_voxels_is_not_believed(root: Path) -> None:
    data = _npy().replace(b"(10, 14, 16), }     ", b"(10000, 9999, 9999)}")
    (root / "trn00001.npz").write_bytes(_repacked(data))
    assert codes(RadChestCTSource(root).inspect, "trn00001") == ["header.dims_huge"]


def test_a_link_out_of_the_folder_is_left_out_and_told(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.npz"
    write_npz(outside)
    (root / "trn00003.npz").symlink_to(outside)
    told: list[Problem] = []
    source = RadChestCTSource(root, on_problem=told.append)
    assert [found.code for found in told] == ["safety.outside"]
    assert "trn00003" not in {study.study_id for study in source.studies()}
    with pytest.raises(DataError, match="outside"):
        source.read_volume("trn00003")
    with pytest.raises(DataError, match="outside"):
        source.read_volume("../secret")


def test_listing_opens_no_volume_and_quarantine_is_kept(root: Path) -> None:
    for path in root.glob("*.npz"):
        path.write_bytes(b"")
    source = RadChestCTSource(root, quarantine=["trn00001", "val00001.npz"])
    assert [study.study_id for study in source.studies()] == ["trn00002"]
    assert [path.stem for path in source.files()] == ["trn00002"]


def test_a_folder_without_volumes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="holds no volume like trn00001"):
        RadChestCTSource(tmp_path)
    with pytest.raises(BadFileError, match="is no folder"):
        RadChestCTSource(tmp_path / "absent")


def test_a_file_of_another_name_is_no_volume(root: Path) -> None:
    write_npz(root / "other.npz")
    source = RadChestCTSource(root)
    assert "other" not in {study.study_id for study in source.studies()}
    assert root / "other.npz" in set(source.files())


@pytest.mark.parametrize(
    ("cells", "label"), [(("", "0"), None), (("nan", "1"), 1), (("?", "?"), None), (("no", "0.0"), 0), (("yes", ""), 1)]
)
def test_a_label_is_unknown_where_a_location_is_and_none_has_it(
    root: Path, cells: tuple[str, str], label: int | None
) -> None:
    row = {"NoteAcc_DEID": "trn00001", "nodule*left_lung": cells[0], "nodule*right_lung": cells[1]}
    write_table(root / "imgtrain_Abnormality_and_Location_Labels.csv", [row, row | {"NoteAcc_DEID": "trn00002"}])
    assert RadChestCTSource(root).studies()[0].labels.get("nodule") == label


def test_a_row_without_a_name_is_told_by_its_line(root: Path) -> None:
    rows = [*_label_rows("trn00001", "trn00002"), *_label_rows("nan"), {}]
    write_table(root / "imgtrain_Abnormality_and_Location_Labels.csv", rows)
    told: list[Problem] = []
    RadChestCTSource(root, on_problem=told.append)
    assert [(found.code, found.values.get("line")) for found in told] == [("text.value", 4), ("text.blank_rows", None)]
