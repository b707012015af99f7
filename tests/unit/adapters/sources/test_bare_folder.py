"""A folder of volumes of which nothing is known."""

from pathlib import Path

import nibabel as nib
import numpy as np
from support.data_folders import SHAPE, chest, write_volume
from support.dicom_series import write_series
from support.landmarks import codes

from simcrop.adapters.sources.bare_folder import FolderSource
from simcrop.core.data.problems import Problem


def test_every_volume_is_a_study_without_a_report(tmp_path: Path) -> None:
    write_volume(tmp_path / "sub/b.nii")
    write_volume(tmp_path / "a.nii.gz")
    (tmp_path / "notes.txt").write_text("no volume")
    told: list[Problem] = []
    source = FolderSource(tmp_path, on_problem=told.append)
    assert [(Path(found.file).name, found.code) for found in told] == [("notes.txt", "set.passed_over")]
    assert [study.reconstructions for study in source.studies()] == [("a.nii.gz",), ("sub/b.nii",)]
    assert {study.report.findings + study.report.impression for study in source.studies()} == {""}
    assert list(source.files()) == [tmp_path / "a.nii.gz", tmp_path / "sub/b.nii"]
    assert source.identity == f"folder {tmp_path}"
    assert sorted(source.read_volume("sub/b.nii").voxels.shape) == sorted(SHAPE)
    assert codes(source.inspect, "a.nii.gz") == []


def test_a_file_of_few_whole_numbers_is_noted_as_a_mask(tmp_path: Path) -> None:
    write_volume(tmp_path / "mask.nii.gz", (chest() > 0).astype(np.uint8))
    write_volume(tmp_path / "picture.nii.gz", np.clip(chest() / 8 + 100, 0, 255).astype(np.uint8))
    source = FolderSource(tmp_path)
    for name, code, other in (
        ("mask.nii.gz", "content.mask", "content.eight_bit"),
        ("picture.nii.gz", "content.eight_bit", "content.mask"),
    ):
        found: list[Problem] = []
        source.inspect(name, found.append)
        assert code in {problem.code for problem in found}
        assert other not in {problem.code for problem in found}


def test_an_empty_folder_and_folders_behind_links_are_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_volume(tmp_path / "outside/a.nii.gz")
    (tmp_path / "data/link").symlink_to(tmp_path / "outside")
    found: list[Problem] = []
    assert FolderSource(tmp_path / "data", on_problem=found.append).studies() == []
    assert [problem.code for problem in found] == ["safety.outside", "set.no_studies"]


def test_series_of_dicom_are_volumes_at_any_depth(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz")
    write_volume(tmp_path / "B.NII.GZ")
    write_series(tmp_path / "patient/study/series")
    for path in (tmp_path / "patient/study/series").iterdir():
        path.rename(path.with_suffix(""))
    for uid in ("1.2.40", "1.2.41"):
        write_series(tmp_path / uid, change=lambda dataset, _, uid=uid: setattr(dataset, "SeriesInstanceUID", uid))
        for path in (tmp_path / uid).iterdir():
            (tmp_path / "flat").mkdir(exist_ok=True)
            path.rename(tmp_path / f"flat/{uid}_{path.name}")
        (tmp_path / uid).rmdir()
    source = FolderSource(tmp_path)
    names = [study.study_id for study in source.studies()]
    assert names == ["B.NII.GZ", "a.nii.gz", "flat#1.2.40", "flat#1.2.41", "patient/study/series"]
    for name in names:
        assert codes(source.inspect, name) == []
        assert source.read_volume(name).voxels.ndim == 3
    assert source.volume_file("flat#1.2.40") == tmp_path / "flat"


def test_slices_called_img_are_dicom_and_pairs_are_not(tmp_path: Path) -> None:
    write_series(tmp_path / "slices")
    for path in (tmp_path / "slices").iterdir():
        path.rename(path.with_suffix(".img"))
    (tmp_path / "pair").mkdir()
    image = nib.Nifti1Pair(chest(), np.diag([3.0, 2, 5, 1]))
    nib.save(image, tmp_path / "pair/a.hdr")
    told: list[Problem] = []
    source = FolderSource(tmp_path, on_problem=told.append)
    assert [study.study_id for study in source.studies()] == ["pair/a.hdr", "slices"]
    assert told == []
    assert [codes(source.inspect, name) for name in ("pair/a.hdr", "slices")] == [[], []]
