"""Rows of NIfTI and the like, of which no header says whose they are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.data_folders import chest, write_volume
from support.metaimages import write_mhd

from simcrop.adapters.sources.indexing.entries import read_entry
from simcrop.adapters.sources.indexing.file_rows import StudyIs, file_rows
from simcrop.adapters.sources.indexing.rows import TableRow
from simcrop.adapters.sources.indexing.walking import walk

AFFINE = np.diag([20.0, 20.0, 10.0, 1.0])
VOXELS = chest(0, (16, 14, 24))


def rows_of(root: Path, folder: str, study_is: StudyIs | None = None) -> list[TableRow]:
    entries = [read_entry(root, found) for found in walk(root) if found.folder == folder]
    return list(file_rows(root, folder, entries, study_is))


def studies(root: Path, folder: str, names: Sequence[str], study_is: StudyIs | None = None) -> list[tuple[str, str]]:
    for name in names:
        write_volume(root / folder / name, VOXELS, AFFINE)
    return [(row.study_id, row.patient_id) for row in rows_of(root, folder, study_is)]


@pytest.mark.parametrize(
    ("folder", "names", "expected"),
    [
        ("p1/s1", ["ct.nii.gz"], [("p1/s1", "p1/s1")]),
        ("train_1_a", ["train_1_a_1.nii.gz", "train_1_a_2.nii.gz"], [("train_1_a", "train_1_a")] * 2),
        ("p1", ["ct_1.nii.gz", "ct_2.nii.gz"], [("p1/ct_1", "p1"), ("p1/ct_2", "p1")]),
        ("", ["a.nii.gz", "b.nii.gz"], [("a", "a"), ("b", "b")]),
        ("", ["a.nii.gz"], [("a", "a")]),
        ("images", [f"{n:02}.nii" for n in range(13)], [(f"images/{n:02}", f"images/{n:02}") for n in range(13)]),
    ],
)
def test_no_study_is_made_of_several_patients(
    tmp_path: Path, folder: str, names: list[str], expected: list[tuple[str, str]]
) -> None:
    assert studies(tmp_path, folder, names) == expected


def test_what_a_study_is_can_be_said(tmp_path: Path) -> None:
    names = ["a.nii.gz", "b.nii.gz"]
    assert studies(tmp_path, "p1", names, "folder") == [("p1", "p1")] * 2
    assert studies(tmp_path, "p1", names, "file") == [("p1/a", "p1"), ("p1/b", "p1")]
    assert studies(tmp_path, "", names, "folder")[0] == (".", ".")


def test_a_row_has_the_measures_of_its_file(tmp_path: Path) -> None:
    write_volume(tmp_path / "a/lung_thorax.nii.gz", VOXELS, AFFINE)
    assert rows_of(tmp_path, "a") == [
        TableRow(
            volume="a/lung_thorax.nii.gz",
            patient_id="a",
            study_id="a",
            spacing_mm="20 x 20 x 10",
            num_slices=24,
            orientation="axial",
            kernel_kind="lung",
            thickness_mm=10.0,
        )
    ]


def test_a_mask_and_a_volume_with_a_fault_are_no_best_ones(tmp_path: Path) -> None:
    write_volume(tmp_path / "a/mask.nii.gz", (VOXELS > 0).astype(np.uint8), AFFINE)
    write_volume(tmp_path / "b/ct.nii.gz", VOXELS[:, :, :7], AFFINE)
    write_volume(tmp_path / "c/brain.nii.gz", VOXELS, AFFINE)
    mask, few, head = (rows_of(tmp_path, folder)[0] for folder in "abc")
    assert (mask.problems, mask.is_usable) == ("content.mask", False)
    assert (few.problems.split()[0], few.is_usable) == ("content.few_slices", False)
    assert (head.verdict, head.is_usable) == ("is called 'brain', which is no chest", True)


def test_the_file_of_the_voxels_is_counted_with_its_header_once(tmp_path: Path) -> None:
    header = write_mhd(tmp_path / "a/ct.mhd")
    assert [row.num_files for row in rows_of(tmp_path, "a")] == [2]
    header.with_name("other.mhd").write_bytes(header.read_bytes())
    assert sorted(row.num_files for row in rows_of(tmp_path, "a")) == [1, 2]
