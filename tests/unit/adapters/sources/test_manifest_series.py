"""Rows of a manifest that name folders of DICOM: one CT volume, or the one of several that the row means."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support.data_folders import write_table, write_volume
from support.dicom_series import HU, write_series

from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.core.data.problems import Problem

FINDINGS = "The heart is normal."


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """A patient's folder with two volumes, two levels down, and a dose report's worth of other files."""
    for number, (uid, name) in enumerate((("1.2.40", "Lung 1.0"), ("1.2.41", "Soft 3.0"))):

        def change(dataset: Any, _: int, uid: str = uid, name: str = name, number: int = number) -> None:
            dataset.SeriesInstanceUID, dataset.SeriesDescription, dataset.SeriesNumber = uid, name, 3 + number
            dataset.RescaleIntercept = -1024 + number

        write_series(tmp_path / f"P1/study/{name}", change=change)
    (tmp_path / "P1/README").write_text("text")
    return tmp_path


def source_of(folder: Path, *rows: dict[str, object], told: list[Problem] | None = None) -> ManifestSource:
    full = [{"volume": "P1", "findings": FINDINGS, "impression": "", "patient_id": "p"} | row for row in rows]
    write_table(folder / "reports.csv", full)
    return ManifestSource(folder / "reports.csv", on_problem=(told if told is not None else []).append)


@pytest.mark.parametrize("wanted", ["1.2.41", "4", "soft 3.0"])
def test_a_row_names_its_series_by_uid_number_or_description(patient: Path, wanted: str) -> None:
    source = source_of(patient, {"series": wanted})
    (study,) = source.studies()
    assert study.reconstructions == (f"P1#{wanted}",)
    assert source.volume_file(f"P1#{wanted}") == patient / "P1"
    direct = source_of(patient, {"volume": "P1/study/Soft 3.0"})
    expected = direct.read_volume("P1/study/Soft 3.0").voxels
    assert torch.equal(source.read_volume(f"P1#{wanted}").voxels, expected)
    assert source.label_names == ()


def test_two_rows_of_one_folder_are_reconstructions_of_one_study(patient: Path) -> None:
    told: list[Problem] = []
    rows = [{"series": "3", "study_id": "s"}, {"series": "4", "study_id": "s"}, {"series": "4", "study_id": "s"}]
    source = source_of(patient, *rows, told=told)
    (study,) = source.studies()
    assert study.reconstructions == ("P1#3", "P1#4")
    first, second = (source.read_volume(name).voxels for name in study.reconstructions)
    assert torch.equal(first + 1, second)
    assert [found.code for found in told] == ["text.duplicate_row"]


@pytest.mark.parametrize(
    ("row", "code", "words"),
    [
        ({}, "container.several", "Lung 1.0 (number 3, 10 slices, 1.2.40); Soft 3.0 (number 4"),
        ({"series": "nan"}, "container.several", "holds 2 CT volumes"),
        ({"series": "9"}, "container.no_series", "holds no series '9'; it holds Lung 1.0"),
    ],
)
def test_without_a_choice_the_message_names_what_there_is(
    patient: Path, row: dict[str, object], code: str, words: str
) -> None:
    source = source_of(patient, row)
    (study,) = source.studies()
    told: list[Problem] = []
    assert source.inspect(study.reconstructions[0], told.append) is None
    (error,) = [found for found in told if found.severity == "error"]
    assert error.code == code
    assert words in error.message
    assert "column series" in error.hint


def test_a_folder_with_one_volume_needs_no_choice(patient: Path) -> None:
    for path in list((patient / "P1/study/Lung 1.0").iterdir())[2:]:
        path.unlink()
    source = source_of(patient, {})
    told: list[Problem] = []
    assert source.inspect("P1", told.append) is not None
    assert source.read_volume("P1").voxels.shape == HU.T.shape
    passed = {Path(found.file).name: found.values["files"] for found in told if found.code == "set.passed_over"}
    assert passed == {"README": 1, "P1#1.2.40": 2}


def test_a_series_of_a_file_is_the_file(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz")
    source = source_of(tmp_path, {"volume": "a.nii.gz", "series": "1.2.3"})
    assert [study.reconstructions for study in source.studies()] == [("a.nii.gz",)]


def test_a_series_can_be_left_out_by_its_name(patient: Path) -> None:
    write_table(
        patient / "reports.csv",
        [{"volume": "P1", "findings": FINDINGS, "impression": "", "series": number} for number in (3, 4)],
    )
    source = ManifestSource(patient / "reports.csv", quarantine=["P1#3"])
    assert [study.study_id for study in source.studies()] == ["P1#4"]


def test_series_that_no_row_names_are_listed(patient: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(patient / "P2/a")
    write_series(patient / "P3/a")
    write_series(patient / "ground_truth/a")
    source = source_of(patient, {"volume": "P2/a", "split": ""}, {"volume": "P3", "split": "no such split"})
    lung, soft = (patient / "P1/study" / name for name in ("Lung 1.0", "Soft 3.0"))
    assert set(source.files()) == {lung, soft, patient / "P2/a"}
    assert set(source_of(patient, {"series": "3"}).files()) == {patient / "P2/a", patient / "P3/a"}
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert list(source.files()) == []


def test_a_row_without_a_volume_hides_no_series(patient: Path) -> None:
    write_series(patient / "P2")
    source = source_of(patient, {}, {"volume": "", "patient_id": "q"})
    assert patient / "P2" in source.files()
