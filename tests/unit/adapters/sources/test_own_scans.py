"""Scans named on a command line: what each kind of input brings, under which name."""

import logging
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import torch
from openpyxl import Workbook
from pyarrow import parquet
from support.data_folders import write_volume
from support.dicom_series import write_series
from support.tiny_data import write_config

from simcrop.adapters.sources.own_scans import OwnScans
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.errors import ConfigError


def names(*inputs: Path) -> list[str]:
    return [study.study_id for study in OwnScans(inputs).studies()]


def test_a_folder_brings_the_volumes_and_the_series_anywhere_below_it(tmp_path: Path) -> None:
    write_volume(tmp_path / "b/scan.nii.gz")
    write_volume(tmp_path / "a.nii")
    write_series(tmp_path / "patient/series")
    (tmp_path / "README").write_text("not a slice, although it has no suffix")
    (tmp_path / "notes.txt").write_text("no volume")
    found = [f"{tmp_path}/{name}" for name in ("a.nii", "b/scan.nii.gz", "patient/series")]
    assert names(tmp_path) == found


def test_files_and_a_single_series_are_named_as_they_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_volume(tmp_path / "scan.nii.gz")
    write_series(tmp_path / "series")
    monkeypatch.chdir(tmp_path)
    scans = OwnScans([Path("scan.nii.gz"), Path("./series"), Path("scan.nii.gz")])
    assert [study.study_id for study in scans.studies()] == ["scan.nii.gz", "series"]
    assert [path.resolve() for path in scans.files()] == [tmp_path / "scan.nii.gz", tmp_path / "series"]
    assert scans.read_volume("scan.nii.gz").voxels.ndim == 3
    assert scans.read_volume("series").voxels.ndim == 3


def test_a_table_needs_the_column_volume_alone(tmp_path: Path) -> None:
    write_volume(tmp_path / "sub/scan.nii.gz")
    write_volume(tmp_path / "elsewhere/other.nii.gz")
    (tmp_path / "sub/scans.csv").write_text(f"volume,age\nscan.nii.gz,60\n{tmp_path}/elsewhere/other.nii.gz,50\n")
    found = [f"{tmp_path}/sub/scan.nii.gz", f"{tmp_path}/elsewhere/other.nii.gz"]
    assert names(tmp_path / "sub/scans.csv") == found
    (tmp_path / "sub/scans.csv").write_text("file\nscan.nii.gz\n")
    with pytest.raises(BadFileError, match="lacks the column 'volume'"):
        names(tmp_path / "sub/scans.csv")


def test_a_table_may_name_the_series_of_a_folder_that_holds_several(tmp_path: Path) -> None:
    for number, uid in ((3, "1.2.40"), (4, "1.2.41")):

        def change(dataset: Any, _: int, uid: str = uid, number: int = number) -> None:
            dataset.SeriesInstanceUID, dataset.SeriesNumber = uid, number
            dataset.RescaleIntercept = -1024 + number

        write_series(tmp_path / f"P1/{number}", change=change)
    (tmp_path / "scans.csv").write_text("volume;series\nP1;3\nP1;1.2.41\nP1/4;nan\n")
    scans = OwnScans([tmp_path / "scans.csv"])
    first, second, alone = (study.study_id for study in scans.studies())
    assert (first, second, alone) == (f"{tmp_path}/P1#3", f"{tmp_path}/P1#1.2.41", f"{tmp_path}/P1/4")
    assert torch.equal(scans.read_volume(first).voxels + 1, scans.read_volume(second).voxels)
    assert torch.equal(scans.read_volume(second).voxels, scans.read_volume(alone).voxels)
    assert scans.volume_file(first) == tmp_path / "P1"


def test_a_configuration_brings_all_its_volumes_by_their_own_names(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    scans = OwnScans([config])
    assert [study.study_id for study in scans.studies()] == [f"{number}.nii.gz" for number in range(8)]
    assert scans.inspect("3.nii.gz", lambda problem: None)
    assert torch.equal(
        scans.read_volume("3.nii.gz").voxels,
        OwnScans([tmp_path / "studies/3.nii.gz"]).read_volume(f"{tmp_path}/studies/3.nii.gz").voxels,
    )


def test_what_the_list_of_a_configuration_leaves_out_is_no_scan_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = write_config(tmp_path)
    (tmp_path / "list.txt").write_text("0.nii.gz\ns3\n")
    config.write_text(config.read_text().replace("data:\n", f"data:\n  exclude: {tmp_path / 'list.txt'}\n"))
    with caplog.at_level(logging.INFO, "simcrop"):
        names = [study.study_id for study in OwnScans([config]).studies()]
    assert names == [f"{number}.nii.gz" for number in (1, 2, 4, 5, 6, 7)]
    assert caplog.messages == [f"data.exclude: {tmp_path / 'list.txt'} leaves out 2 volumes (0.nii.gz, 3.nii.gz)"]


@pytest.mark.parametrize(
    ("name", "reason"), [("gone.nii", None), ("gone", "does not exist"), ("x.txt", "none of these")]
)
def test_what_is_no_scan_is_refused_and_a_file_that_is_not_there_when_it_is_read(
    tmp_path: Path, name: str, reason: str | None
) -> None:
    (tmp_path / "x.txt").write_text("text")
    if reason is not None:
        with pytest.raises(ConfigError, match=reason):
            names(tmp_path / name)
        return
    scans = OwnScans([tmp_path / name])
    with pytest.raises(BadFileError, match="does not exist"):
        scans.read_volume(f"{tmp_path}/{name}")


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    told: list[Problem] = []
    assert OwnScans([tmp_path], told.append).studies() == []
    assert [found.code for found in told] == ["set.no_studies"]


@pytest.mark.parametrize("suffix", ["CSV", "tsv", "xlsx", "parquet"])
def test_a_table_of_any_kind_names_scans_as_any_system_spells_them(tmp_path: Path, suffix: str) -> None:
    write_volume(tmp_path / "sub/Größe 1.nii.gz")
    write_volume(tmp_path / "two.NII.GZ")
    cells = [unicodedata.normalize("NFD", "sub\\Größe 1.nii.gz"), "nan", "two.nii.gz"]
    table = tmp_path / f"scans.{suffix}"
    if suffix == "xlsx":
        workbook = Workbook()
        for row in [("Volume ", "age"), *((cell, 60) for cell in cells)]:
            workbook.active.append(row)
        workbook.save(table)
    elif suffix == "parquet":
        parquet.write_table(pyarrow.table({"volume": cells, "age": [60] * 3}), table)
    else:
        table.write_text("\n".join(["Volume ;age", *(f"{cell};60" for cell in cells), ";", ""]), encoding="utf-16")
    told: list[Problem] = []
    scans = OwnScans([table], told.append)
    found = [f"{tmp_path}/{name}" for name in ("sub/Größe 1.nii.gz", "two.NII.GZ")]
    assert [study.study_id for study in scans.studies()] == found
    assert [scans.read_volume(name).voxels.ndim for name in found] == [3, 3]
    assert [found.message for found in told if found.severity == "error"] == ["line 3 has other cells and no volume"]
