"""DICOM: folders of slices become volumes, in the patient's axes; stacks with holes, tilt or strangers do not."""

import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import MPEG2MPML, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from support.data_folders import write_table
from support.dicom_enhanced import write_enhanced
from support.dicom_series import HU, VOXELS, Change, write_series
from support.landmarks import codes, found_at, is_ras, replace_bytes

from simcrop.adapters.sources.dicom_folders import DicomSource
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.errors import DataError

SERIES = "P1/study/series"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_series(tmp_path / SERIES)
    return tmp_path


def _bright(index: tuple[int, int, int]) -> np.ndarray:
    hu = HU.copy()
    hu[index] = 3000
    return hu


def refusal(root: Path) -> str:
    with pytest.raises(BadFileError) as refused:
        DicomSource(root).read_volume(SERIES)
    return refused.value.problem.code


def test_a_folder_of_slices_is_a_study(root: Path) -> None:
    write_series(root / "P1" / "other")
    (root / "P1" / "DICOMDIR").write_bytes(b"")
    (root / "P1" / "report.txt").write_text("no slice", encoding="utf-8")
    source = DicomSource(root)
    assert [(study.study_id, study.patient_id, study.split) for study in source.studies()] == [
        ("P1/other", "P1", None),
        (SERIES, "P1", None),
    ]
    assert set(source.files()) == {root / "P1/other", root / SERIES}
    assert source.label_names == ()
    assert list(source.ground_truth(SERIES)) == []


def test_slices_are_sorted_by_position_and_rescaled(root: Path) -> None:
    volume = DicomSource(root).read_volume(SERIES)
    np.testing.assert_array_equal(volume.voxels.numpy()[::-1, ::-1], VOXELS)
    assert volume.spacing_mm == (3, 2, 5)
    assert is_ras(volume)
    assert codes(DicomSource(root).inspect, SERIES) == []


@pytest.mark.parametrize(
    ("index", "world_mm"),
    [
        ((0, 0, 0), [100, 80, -300]),
        ((9, 0, 0), [100, 80, -255]),
        ((0, 13, 0), [100, 54, -300]),
        ((0, 0, 15), [55, 80, -300]),
    ],
)
def test_a_landmark_comes_out_at_its_place(root: Path, index: tuple[int, int, int], world_mm: list[float]) -> None:
    write_series(root / SERIES, _bright(index))
    assert found_at(DicomSource(root).read_volume(SERIES)) == world_mm


def test_slices_that_run_to_the_feet_give_the_same_places(root: Path) -> None:
    write_series(root / SERIES, _bright((9, 0, 0)), step=(0, 0, -5))
    volume = DicomSource(root).read_volume(SERIES)
    assert found_at(volume) == [100, 80, -345]
    assert is_ras(volume)


def test_a_prone_and_a_coronal_series(root: Path) -> None:
    write_series(root / SERIES, _bright((0, 0, 15)), axes=((-1, 0, 0), (0, -1, 0)))
    assert found_at(DicomSource(root).read_volume(SERIES)) == [145, 80, -300]
    write_series(root / SERIES, _bright((0, 13, 0)), axes=((1, 0, 0), (0, 0, -1)), step=(0, 5, 0))
    volume = DicomSource(root).read_volume(SERIES)
    assert found_at(volume) == [100, 80, -326]
    assert volume.spacing_mm == (3, 5, 2)
    assert is_ras(volume)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_uncompressed_transfer_syntax_is_read(root: Path, syntax: str) -> None:
    def pad(dataset: Any, number: int) -> None:
        dataset.add_new("PixelPaddingValue", "US", 4000)

    write_series(
        root / SERIES, _bright((0, 0, 0)) + np.where(_bright((0, 0, 0)) == 3000, -24, 0), change=pad, syntax=syntax
    )
    read = DicomSource(root).read_volume(SERIES).voxels.numpy()[::-1, ::-1]
    assert read[0, 0, 0] == -1000
    np.testing.assert_array_equal(read[1:], VOXELS[1:])


def test_declared_padding_is_read_as_air(root: Path) -> None:
    hu = HU.copy()
    hu[:, :2] = -1024
    write_series(root / SERIES, hu)
    read = DicomSource(root, padding_value=-1024).read_volume(SERIES).voxels.numpy()[::-1, ::-1]
    assert (read[:, :2] == -1000).all()
    assert (DicomSource(root).read_volume(SERIES).voxels.numpy()[::-1, ::-1][:, :2] == -1024).all()
    assert DicomSource(root).identity != DicomSource(root, padding_value=-1024).identity


def test_signed_pixels_and_fractions(root: Path) -> None:
    def change(dataset: Any, number: int) -> None:
        stored = np.frombuffer(dataset.PixelData, "<u2").astype(np.int32) - 1024
        dataset.PixelData, dataset.PixelRepresentation = stored.astype("<i2").tobytes(), 1
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", "0"

    write_series(root / SERIES, change=change)
    np.testing.assert_array_equal(DicomSource(root).read_volume(SERIES).voxels.numpy()[::-1, ::-1], VOXELS / 2)


def test_each_slice_has_its_own_scaling(root: Path) -> None:
    def change(dataset: Any, number: int) -> None:
        dataset.RescaleIntercept = -1024 + number

    write_series(root / SERIES, change=change)
    read = DicomSource(root).read_volume(SERIES).voxels.numpy()[::-1, ::-1]
    np.testing.assert_array_equal(read, VOXELS + np.arange(10))


def _set(**values: Any) -> Change:
    """Change elements of one slice; None deletes them."""

    def change(dataset: Any, number: int) -> None:
        for name, value in values.items() if number == 3 else ():
            delattr(dataset, name) if value is None else setattr(dataset, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_set(SeriesInstanceUID="1.2.4"), "container.incomplete"),
        (_set(PixelSpacing=[2, 2.5]), "container.mixed"),
        (_set(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), "container.incomplete"),
        (_set(ImageOrientationPatient=[1, 0, 0, 0, 0.8, -0.6]), "container.mixed"),
        (_set(Rows=13, PixelData=b"\0" * 13 * 16 * 2), "container.mixed"),
        (_set(ImagePositionPatient=[-90, -80, -285]), "container.mixed"),
        (_set(ImagePositionPatient=[-100, -80, -284]), "container.uneven"),
        (_set(ImagePositionPatient=[-100, -80, -290]), "container.repeated"),
        (_set(ImagePositionPatient=None), "header.invalid"),
        (_set(ImagePositionPatient=[1, 2]), "header.invalid"),
        (_set(ImageOrientationPatient=None), "header.invalid"),
        (_set(SeriesInstanceUID=None), "header.invalid"),
        (_set(Rows=None), "header.invalid"),
        (_set(Rows=0), "header.dims"),
        (_set(Rows=60000, Columns=60000), "container.truncated"),
        (_set(PixelSpacing=[0, 1]), "header.pixdim"),
        (_set(RescaleSlope=None), "header.scaling"),
        (_set(RescaleSlope=0), "header.scaling"),
        (_set(RescaleIntercept=None), "header.scaling"),
        (_set(NumberOfFrames=2), "content.not_3d"),
        (_set(SamplesPerPixel=3), "content.not_3d"),
        (_set(PixelData=b"\0" * 440), "container.truncated"),
        (_set(PixelData=None), "container.truncated"),
        (_set(BitsStored=None), "header.invalid"),
        (_set(BitsStored=17), "header.invalid"),
        (_set(BitsAllocated=12), "header.datatype"),
        (_set(PixelRepresentation=None), "header.invalid"),
        (_set(PhotometricInterpretation="PALETTE COLOR"), "header.datatype"),
    ],
)
def test_a_slice_that_cannot_be_used(root: Path, change: Change, code: str) -> None:
    write_series(root / SERIES, change=change)
    assert refusal(root) == code
    assert code in codes(DicomSource(root).inspect, SERIES)


def test_a_missing_slice_is_seen(root: Path) -> None:
    (root / SERIES / "5.dcm").unlink()
    assert refusal(root) == "container.incomplete"
    assert codes(DicomSource(root).inspect, SERIES) == ["container.incomplete"]


def test_slices_at_one_place_are_no_volume(root: Path) -> None:
    write_series(root / SERIES, step=(0, 0, 0))
    assert refusal(root) == "container.repeated"


def test_a_tilted_gantry_is_refused(root: Path) -> None:
    cos, sin = float(np.cos(0.2)), float(np.sin(0.2))
    write_series(root / SERIES, axes=((1, 0, 0), (0, cos, sin)))
    assert refusal(root) == "content.tilted"
    assert codes(DicomSource(root).inspect, SERIES) == ["content.tilted"]
    write_series(root / SERIES, axes=((1, 0, 0), (0, cos, sin)), step=(0, -5 * sin, 5 * cos))
    assert codes(DicomSource(root).inspect, SERIES) == []


def test_axes_that_are_not_at_right_angles_are_refused(root: Path) -> None:
    write_series(root / SERIES, axes=((1, 0, 0), (0.6, 0.8, 0)))
    assert refusal(root) == "header.affine"


def test_a_single_slice_is_no_volume(root: Path) -> None:
    write_series(root / SERIES)
    for path in sorted((root / SERIES).iterdir())[1:]:
        path.unlink()
    assert refusal(root) == "content.few_slices"


def test_pixels_packed_as_a_video_are_refused_by_name(root: Path) -> None:
    path = root / SERIES / "1.dcm"
    dataset: Any = pydicom.dcmread(path)
    dataset.PixelData = pydicom.encaps.encapsulate([dataset.PixelData])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = MPEG2MPML
    dataset.save_as(path)
    assert refusal(root) == "container.compressed"


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda path: path.write_bytes(b""), "container.empty"),
        (lambda path: path.write_bytes(b"<html>"), "container.html"),
        (lambda path: path.write_bytes(b"plain text " * 50), "container.format"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "container.truncated"),
        (lambda path: path.write_bytes(path.read_bytes()[:600]), "container.truncated"),
        (lambda path: replace_bytes(path, b"DICM", b"DICK"), "container.format"),
    ],
)
def test_a_damaged_file_is_told_by_its_code(root: Path, damage: Callable[[Path], object], code: str) -> None:
    damage(root / SERIES / "4.dcm")
    assert refusal(root) == code
    assert codes(DicomSource(root).inspect, SERIES) == [code]


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_any_cut_is_a_refusal_and_never_another_error(root: Path) -> None:
    path = root / SERIES / "4.dcm"
    whole = path.read_bytes()
    for length in range(0, len(whole), 61):
        path.write_bytes(whole[:length])
        assert codes(DicomSource(root).inspect, SERIES), length


def test_links_and_names_stay_in_the_folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    write_series(outside / "P9")
    (root / "P2").symlink_to(outside / "P9")
    source = DicomSource(root)
    assert [study.study_id for study in source.studies()] == [SERIES]
    for name in ("P2", "../P9", "/etc"):
        with pytest.raises(DataError, match="outside"):
            source.read_volume(name)
    (root / SERIES / "4.dcm").unlink()
    (root / SERIES / "4.dcm").symlink_to(outside / "P9" / "4.dcm")
    assert codes(source.inspect, SERIES) == ["safety.outside"]


def test_listing_opens_no_volume_and_quarantine_is_kept(root: Path) -> None:
    write_series(root / "P2")
    for path in root.rglob("*.dcm"):
        path.write_bytes(b"")
    told: list[Problem] = []
    source = DicomSource(root, quarantine=[SERIES], on_problem=told.append)
    assert [study.study_id for study in source.studies()] == ["P2"]
    assert list(source.files()) == [root / "P2"]
    assert told == []


def test_names_of_slices(tmp_path: Path) -> None:
    write_series(tmp_path / "a")
    for number, path in enumerate(sorted((tmp_path / "a").iterdir())):
        path.rename(path.with_name(("IM{}", "1.2.840.{}", "{}.IMA", "{}.DCM")[number % 4].format(number)))
    (tmp_path / "a" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "a" / "preview.jpg").write_bytes(b"x")
    assert codes(DicomSource(tmp_path).inspect, "a") == []


def test_the_root_itself_may_be_the_series(tmp_path: Path) -> None:
    write_series(tmp_path)
    source = DicomSource(tmp_path)
    assert [study.study_id for study in source.studies()] == ["."]
    assert codes(source.inspect, ".") == []


def test_a_folder_without_series_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="holds no folder with slices of CT"):
        DicomSource(tmp_path)


def test_without_pydicom_one_line_says_what_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(DataError, match=r"needs pydicom; pip install 'simcrop\[dicom\]'"):
        DicomSource(root)


def test_without_pydicom_everything_else_works() -> None:
    code = "import sys; sys.modules['pydicom'] = None; import simcrop.compose.data"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_folder_with_an_enhanced_ct_is_a_study_too(root: Path) -> None:
    write_enhanced(root / "P2/study/IM0001")
    source = DicomSource(root)
    assert [study.study_id for study in source.studies()] == [SERIES, "P2/study"]
    assert torch.equal(source.read_volume("P2/study").voxels, source.read_volume(SERIES).voxels)
    assert codes(source.inspect, "P2/study") == []


def test_a_row_of_a_manifest_may_name_an_enhanced_ct(root: Path) -> None:
    write_enhanced(root / "IM0001")
    write_table(root / "reports.csv", [{"volume": "IM0001", "findings": "Normal.", "impression": ""}])
    source = ManifestSource(root / "reports.csv")
    assert [study.study_id for study in source.studies()] == ["IM0001"]
    assert torch.equal(source.read_volume("IM0001").voxels, DicomSource(root).read_volume(SERIES).voxels)


def test_a_row_of_a_manifest_may_name_a_series(root: Path) -> None:
    rows = [{"volume": SERIES, "findings": "The heart is normal.", "impression": "", "patient_id": "p"}]
    write_table(root / "reports.csv", rows)
    source = ManifestSource(root / "reports.csv")
    (study,) = source.studies()
    assert (study.study_id, study.patient_id, study.reconstructions) == (SERIES, "p", (SERIES,))
    assert torch.equal(source.read_volume(SERIES).voxels, DicomSource(root).read_volume(SERIES).voxels)
    told: list[Problem] = []
    assert source.inspect(SERIES, told.append) == DicomSource(root).inspect(SERIES, told.append)
    assert not [problem for problem in told if problem.severity == "error"]
    (root / SERIES / "7.dcm").unlink()
    told.clear()
    source.inspect(SERIES, told.append)
    assert "container.incomplete" in [problem.code for problem in told]


NAMES = {
    "dicom": "IM{:04d}.dicom",
    "upper": "IM{:04d}.DCM",
    "ima": "{:04d}.IMA",
    "img": "IM{:04d}.img",
    "none": "IM{:04d}",
    "numbers": "1.2.840.{}",
    "other": "slice_{}.dat",
    "text": "{:04d}.dcm.txt",
}


@pytest.mark.parametrize("kind", list(NAMES))
def test_slices_are_known_by_what_they_hold(root: Path, kind: str) -> None:
    for number, path in enumerate(sorted((root / SERIES).iterdir())):
        path.rename(path.with_name(NAMES[kind].format(number)))
    source = DicomSource(root)
    assert [study.study_id for study in source.studies()] == [SERIES]
    np.testing.assert_array_equal(source.read_volume(SERIES).voxels.numpy()[::-1, ::-1], VOXELS)


def test_a_series_of_mixed_names_and_packed_slices_is_taken_whole(root: Path) -> None:
    for number, path in enumerate(sorted((root / SERIES).iterdir())):
        path.rename(path.with_name(list(NAMES.values())[number % len(NAMES)].format(number)))
    for path in sorted((root / SERIES).iterdir())[:4]:
        path.write_bytes(gzip.compress(path.read_bytes()))
    for path in sorted((root / SERIES).iterdir())[:2]:
        path.rename(path.with_name(f"{path.name}.gz"))
    assert codes(DicomSource(root).inspect, SERIES) == []
    np.testing.assert_array_equal(DicomSource(root).read_volume(SERIES).voxels.numpy()[::-1, ::-1], VOXELS)


def _beside(folder: Path, kind: str) -> None:
    """Put something beside slices that is none of them."""
    storage = "1.2.840.10008.5.1.4.1.1."
    objects = {"dose report": ("88.67", "SR"), "contours": ("481.3", "RTSTRUCT"), "segmentation": ("66.4", "SEG")}
    objects |= {"presentation": ("11.1", "PR"), "magnetic resonance": ("4", "MR"), "screen": ("7", "OT")}
    if kind in objects:
        write_series(folder / "x", HU[:1])
        dataset: Any = pydicom.dcmread(folder / "x" / "0.dcm")
        number, dataset.Modality = objects[kind]
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = storage + number
        dataset.save_as(folder / "other.dcm")
        shutil.rmtree(folder / "x")
    elif kind in {"localizer", "localizer without a name"}:
        image_type = ["ORIGINAL", "PRIMARY", "LOCALIZER" if kind == "localizer" else "AXIAL"]
        change = _set_all(ImageType=image_type, Rows=14, Columns=16)
        write_series(folder / "x", HU[:1], axes=((1, 0, 0), (0, 0, -1)), change=change)
        (folder / "x" / "0.dcm").rename(folder / "scout.dcm")
        (folder / "x").rmdir()
    elif kind == "few slices of another series":
        write_series(folder / "x", HU[:3], change=_set_all(SeriesInstanceUID="1.2.77"))
        for path in (folder / "x").iterdir():
            path.rename(folder / f"b{path.name}")
        (folder / "x").rmdir()
    elif kind == "subfolder":
        (folder / "thumbnails").mkdir()
        (folder / "thumbnails/a.jpg").write_bytes(b"x")
    else:
        (folder / kind).write_bytes(b"exported by an archive\n" if kind != "DICOMDIR" else b"")


def _set_all(**values: Any) -> Change:
    def change(dataset: Any, number: int) -> None:
        for name, value in values.items():
            setattr(dataset, name, value)

    return change


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("README", "is no DICOM"),
        ("Thumbs.db", "is no DICOM"),
        ("DICOMDIR", "is no DICOM"),
        ("report.pdf", "is no DICOM"),
        ("subfolder", "is no DICOM"),
        ("dose report", "is a dose report"),
        ("contours", "is contours of radiotherapy"),
        ("segmentation", "is a segmentation"),
        ("presentation", "is another DICOM object"),
        ("magnetic resonance", "MR Image Storage of modality MR"),
        ("screen", "is a picture of a screen"),
        ("localizer", "is a localizer"),
        ("localizer without a name", "is a localizer, by how it lies"),
        ("few slices of another series", "is another series: no description (3 slices, 1.2.77)"),
    ],
)
def test_what_lies_beside_slices_is_passed_over_and_named(root: Path, kind: str, words: str) -> None:
    expected = DicomSource(root).read_volume(SERIES)
    _beside(root / SERIES, kind)
    told: list[Problem] = []
    source = DicomSource(root, on_problem=told.append)
    assert [study.study_id for study in source.studies()] == [SERIES]
    assert source.inspect(SERIES, told.append) is not None
    assert torch.equal(source.read_volume(SERIES).voxels, expected.voxels)
    (note,) = [found for found in told if found.code == "set.passed_over"]
    assert words in note.message
    assert note.values["files"] == (3 if kind.startswith("few") else 1)
    assert [found.code for found in told if found.severity == "error"] == []


def test_folders_without_slices_are_no_volumes_and_their_files_are_named(root: Path) -> None:
    (root / "P2/dose").mkdir(parents=True)
    _beside(root / "P2/dose", "dose report")
    (root / "P2/notes").mkdir()
    (root / "P2/notes/a.txt").write_text("text")
    told: list[Problem] = []
    source = DicomSource(root, on_problem=told.append)
    assert [study.study_id for study in source.studies()] == [SERIES]
    assert {(Path(found.file).name, found.code) for found in told} == {
        ("other.dcm", "set.passed_over"),
        ("a.txt", "set.passed_over"),
    }


def test_a_folder_with_several_volumes_gives_one_for_each(root: Path) -> None:
    flat = root / "P2"
    flat.mkdir()
    for uid in ("1.2.40", "1.2.41"):
        write_series(root / "x", change=_set_all(SeriesInstanceUID=uid, RescaleIntercept=-1024 + int(uid[-1])))
        for path in (root / "x").iterdir():
            path.rename(flat / f"{uid}_{path.name}")
    (root / "x").rmdir()
    (flat / "README").write_text("text")
    source = DicomSource(root)
    names = [study.study_id for study in source.studies()]
    assert names == [SERIES, "P2#1.2.40", "P2#1.2.41"]
    assert {study.patient_id for study in source.studies()} == {"P1", "P2"}
    first, second = (source.read_volume(name).voxels for name in names[1:])
    assert torch.equal(first + 1, second)
    assert source.volume_file("P2#1.2.41") == flat
    told: list[Problem] = []
    source.inspect("P2#1.2.40", told.append)
    others = {
        (found.file.rpartition("/")[2], found.values["files"]) for found in told if found.code == "set.passed_over"
    }
    assert others == {("README", 1), ("P2#1.2.41", 10)}
    assert [study.study_id for study in DicomSource(root, quarantine=["P2"]).studies()] == [SERIES]
    left = DicomSource(root, quarantine=["P2#1.2.40"]).studies()
    assert [study.study_id for study in left] == [SERIES, "P2#1.2.41"]


def test_a_damaged_slice_is_no_file_that_is_passed_over(root: Path) -> None:
    for number, path in enumerate(sorted((root / SERIES).iterdir())):
        path.rename(path.with_name(f"IM{number}"))
    (root / SERIES / "IM9").write_bytes(b"")
    assert codes(DicomSource(root).inspect, SERIES) == ["container.empty"]


def test_an_enhanced_series_is_told_as_such(root: Path) -> None:
    storage = "1.2.840.10008.5.1.4.1.1.2.1"
    shutil.rmtree(root / SERIES)
    write_series(root / SERIES, HU[:1], change=_set_all(SOPClassUID=storage, NumberOfFrames=40))
    assert [study.study_id for study in DicomSource(root).studies()] == [SERIES]
