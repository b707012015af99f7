"""A folder of volumes of which nothing is known."""

from pathlib import Path

import numpy as np
from support.data_folders import SHAPE, chest, write_volume
from support.landmarks import codes

from simcrop.adapters.sources.bare_folder import FolderSource
from simcrop.core.data.problems import Problem


def test_every_volume_is_a_study_without_a_report(tmp_path: Path) -> None:
    write_volume(tmp_path / "sub/b.nii")
    write_volume(tmp_path / "a.nii.gz")
    (tmp_path / "notes.txt").write_text("no volume")
    source = FolderSource(tmp_path)
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
