"""Volumes that an index left out are told once, and not as volumes that nobody has named."""

from pathlib import Path

import pytest
from support.data_folders import FINDINGS, chest, write_table, write_volume

from simcrop.adapters.sources.left_out import left_out_beside
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.core.data.problems import Problem

LIST = [
    {"kind": "volume", "name": "scans/b.nii.gz", "series": "", "files": 1, "reason": "not the best"},
    {"kind": "volume", "name": "scans/c", "series": "1.2", "files": 20, "reason": "not the best"},
    {"kind": "volume", "name": "scans/c", "series": "1.3", "files": 30, "reason": "not the best"},
    {"kind": "file", "name": "scans/notes.txt", "series": "", "files": 1, "reason": "no scan"},
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for number, name in enumerate("abd"):
        write_volume(tmp_path / f"scans/{name}.nii.gz", chest(number))
    rows = [{"volume": "scans/a.nii.gz", "findings": FINDINGS, "impression": ""}]
    write_table(tmp_path / "t.csv", rows)
    return tmp_path / "t.csv"


def unnamed(table: Path) -> tuple[list[str], list[Problem]]:
    told: list[Problem] = []
    source = ManifestSource(table, on_problem=told.append)
    used = {source.volume_file(name) for study in source.studies() for name in study.reconstructions}
    return [path.name for path in source.files() if path not in used], told


def test_volumes_of_the_list_are_told_once_and_others_are_left_to_be_told(table: Path) -> None:
    write_table(table.with_name("t.left_out.csv"), LIST)
    names, told = unnamed(table)
    assert names == ["d.nii.gz"]
    assert [(found.code, found.values["files"], Path(found.file).name) for found in told] == [
        ("set.left_out", 51, "t.left_out.csv")
    ]


def test_a_row_that_was_added_since_is_used(table: Path) -> None:
    write_table(table.with_name("t.left_out.csv"), LIST)
    rows = [{"volume": f"scans/{name}.nii.gz", "findings": FINDINGS, "impression": ""} for name in "ab"]
    write_table(table, rows)
    assert len(ManifestSource(table, on_problem=lambda found: None).studies()) == 2
    assert unnamed(table)[0] == ["d.nii.gz"]


def test_without_such_a_list_every_file_is_told(table: Path) -> None:
    assert unnamed(table) == (["b.nii.gz", "d.nii.gz"], [])
    write_table(table.with_name("t.left_out.csv"), [{"mine": 1}])
    assert unnamed(table) == (["b.nii.gz", "d.nii.gz"], [])
    write_table(table.with_name("t.left_out.csv"), [{**LIST[0], "files": "some"}])
    assert unnamed(table) == (["b.nii.gz", "d.nii.gz"], [])
    assert left_out_beside(table).files == {}
