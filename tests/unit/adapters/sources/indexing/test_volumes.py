"""Files become volumes, or are left out with a reason: each of them one of the two."""

import os
from pathlib import Path

import pytest
from support.data_folders import chest
from support.landmarks import slices_first
from support.metaimages import write_mhd
from support.pacs_export import save, slices_of

from simcrop.adapters.formats.dicom_series import chosen, contents_of
from simcrop.adapters.sources.indexing.entries import read_entries
from simcrop.adapters.sources.indexing.rows import TableRow
from simcrop.adapters.sources.indexing.volumes import LeftOut, volumes_of
from simcrop.adapters.sources.indexing.walking import walk
from simcrop.adapters.sources.indexing.work_file import WorkFile

HU = slices_first(chest(0, (16, 14, 24)))


def write(folder: Path, uid: str, which: slice = slice(None), prefix: str = "") -> None:
    """Some slices of a series, each under the UID that it has in the whole series."""
    for number, one in list(enumerate(slices_of({"StudyInstanceUID": "1.9"}, uid, HU, 10.0), 1))[which]:
        save(one, folder / f"{prefix}IM{number:05}", f"{uid}.{number}")


def found(root: Path, work: Path) -> tuple[list[TableRow], list[LeftOut]]:
    with WorkFile(work, "") as known:
        known.add_found(walk(root))
        for piece in known.pieces(7):
            known.add_entries(piece, read_entries(root, piece))
        every = list(volumes_of(known, root, None))
    rows = [each for each in every if isinstance(each, TableRow)]
    left_out = [each for each in every if isinstance(each, LeftOut)]
    num_files = sum(path.is_file() for path in root.rglob("*"))
    assert sum(each.num_files for each in (*rows, *left_out)) == num_files
    return rows, left_out


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "export"


def test_series_of_one_folder_are_rows_that_their_reader_can_choose(root: Path, tmp_path: Path) -> None:
    write(root / "a", "1.2.3", prefix="A")
    write(root / "a", "1.2.4", slice(0, 12), prefix="B")
    rows, left_out = found(root, tmp_path / "work")
    assert [(row.volume, row.series, row.num_files) for row in rows] == [("a", "1.2.3", 24), ("a", "1.2.4", 12)]
    assert left_out == []
    for row in rows:
        assert len(chosen(root / row.volume, contents_of(root / row.volume), row.series).headers) == row.num_files


def test_files_at_the_root_are_a_volume_too(root: Path, tmp_path: Path) -> None:
    write(root, "1.2.3")
    assert [row.volume for row in found(root, tmp_path / "work")[0]] == ["."]


def test_what_is_left_out_is_named_with_its_reason(root: Path, tmp_path: Path) -> None:
    write(root / "a", "1.2.3")
    (root / "a/README").write_text("text")
    (root / "a/IM00025").write_bytes(b"")
    (root / "b.dcm").write_text("text")
    write_mhd(root / "c/ct.mhd")
    rows, left_out = found(root, tmp_path / "work")
    assert [(each.kind, each.name, each.reason, each.code) for each in left_out] == [
        ("file", "b.dcm", "DICOM that cannot be read", "container.format"),
        ("file", "a/IM00025", "DICOM that cannot be read", "container.empty"),
        ("file", "a/README", "no scan, by what it holds", ""),
    ]
    assert left_out[1].detail == "is empty (0 bytes), and is named like the slices beside it"
    assert [(row.volume, row.num_files, row.is_usable) for row in rows] == [("a", 24, False), ("c/ct.mhd", 2, True)]
    assert rows[0].verdict == "IM00025 is empty (0 bytes), and is named like the slices beside it"


def test_a_link_out_of_the_tree_is_damage_to_the_series_beside_it(root: Path, tmp_path: Path) -> None:
    write(root / "a", "1.2.3", slice(0, 23))
    write(tmp_path / "outside", "1.2.3", slice(23, 24))
    (root / "a/IM00024").symlink_to(tmp_path / "outside/IM00024")
    rows, left_out = found(root, tmp_path / "work")
    assert [each.code for each in left_out] == ["safety.outside"]
    assert [(row.problems, row.is_usable) for row in rows] == [("safety.outside", False)]


def test_a_series_in_several_folders_is_the_folder_above_them(root: Path, tmp_path: Path) -> None:
    write(root / "p/0", "1.2.3", slice(0, 12))
    write(root / "p/1", "1.2.3", slice(12, 24))
    rows, _ = found(root, tmp_path / "work")
    assert [(row.volume, row.num_files, row.verdict) for row in rows] == [("p", 24, "good")]
    assert len(chosen(root / "p", contents_of(root / "p"), "1.2.3").headers) == 24


def test_a_series_in_several_folders_without_one_above_them_is_named_as_a_part(root: Path, tmp_path: Path) -> None:
    write(root / "p", "1.2.3", slice(0, 12))
    write(root / "p/1", "1.2.3", slice(12, 24))
    rows, _ = found(root, tmp_path / "work")
    assert [(row.volume, row.problems, row.is_usable) for row in rows] == [
        ("p", "container.incomplete", False),
        ("p/1", "container.incomplete", False),
    ]
    assert "holds a part of a series that lies in 2 folders: p, p/1" in rows[0].verdict


def test_a_series_that_was_exported_twice_counts_once(root: Path, tmp_path: Path) -> None:
    write(root / "a", "1.2.3")
    write(root / "b", "1.2.3")
    rows, _ = found(root, tmp_path / "work")
    assert [(row.volume, row.verdict, row.is_usable) for row in rows] == [
        ("a", "good", True),
        ("b", "holds the series of a again", False),
    ]


def test_a_volume_whose_name_is_no_utf_8_is_told_and_not_used(root: Path, tmp_path: Path) -> None:
    write(root / os.fsdecode(b"a\xff"), "1.2.3")
    rows, _ = found(root, tmp_path / "work")
    assert [(row.volume, row.problems.strip(), row.is_usable) for row in rows] == [
        ("a\\udcff", "container.unreadable", False)
    ]
    assert "rename it" in rows[0].verdict


def test_a_slice_that_lies_across_the_others_is_left_out_of_a_series_in_several_folders(
    root: Path, tmp_path: Path
) -> None:
    write(root / "p/0", "1.2.3", slice(0, 12))
    write(root / "p/1", "1.2.3", slice(12, 24))
    across = slices_of({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "1.2.3", HU[:1], 10.0)
    save(across[0], root / "p/0/IM00099", "1.2.3.99")
    rows, left_out = found(root, tmp_path / "work")
    assert [(row.volume, row.num_files) for row in rows] == [("p", 24)]
    assert [(each.name, each.reason) for each in left_out] == [("p/0/IM00099", "a localizer, by how it lies")]
