"""The row of a DICOM series: what headers say, in the table's words."""

from pathlib import Path
from typing import Any

import pytest
from support.data_folders import chest
from support.landmarks import slices_first
from support.pacs_export import NAME, save_slices, slices_of

from simcrop.adapters.formats.dicom_series import contents_of
from simcrop.adapters.sources.indexing.dicom_rows import series_row
from simcrop.adapters.sources.indexing.rows import TableRow
from simcrop.core.data.problems import problem

STUDY = {
    "StudyInstanceUID": "1.9",
    "PatientID": "P1",
    "AccessionNumber": "A1",
    "StudyDate": "20210304",
    "StudyDescription": "CT Thorax",
    "SeriesNumber": 4,
}
HU = slices_first(chest(0, (16, 14, 24)))


def row_of(root: Path, **elements: Any) -> TableRow:
    more = {"SeriesDescription": "Lunge 1.0", "ConvolutionKernel": ["Bl57d", "3"], **STUDY, **elements}
    save_slices(root / "a/b", slices_of({}, "1.2.3", HU, 10.0, **more), 1)
    series = contents_of(root / "a/b").series[0]
    return series_row(root, "a/b", series, ())


def test_columns_are_what_the_headers_say(tmp_path: Path) -> None:
    assert row_of(tmp_path, SliceThickness=12.5, ContrastBolusAgent="Ultravist 300") == TableRow(
        volume="a/b",
        patient_id="P1",
        study_id="1.9",
        series="1.2.3",
        accession_number="A1",
        study_date="2021-03-04",
        study_description="CT Thorax",
        modality="CT",
        series_number="4",
        series_description="Lunge 1.0",
        kernel=r"Bl57d\3",
        slice_thickness_mm="12.5",
        spacing_mm="20 x 20 x 10",
        num_slices=24,
        orientation="axial",
        contrast_agent="Ultravist 300",
        num_files=24,
        kernel_kind="lung",
        thickness_mm=12.5,
        has_contrast=True,
    )


def test_what_is_not_said_is_empty_and_a_study_without_uid_is_its_folder(tmp_path: Path) -> None:
    row = row_of(tmp_path, StudyInstanceUID="", PatientID="", StudyDate="", SliceThickness=None, SeriesNumber=None)
    assert (row.study_id, row.patient_id, row.study_date, row.series_number) == ("a/b", "", "", "")
    assert (row.slice_thickness_mm, row.thickness_mm) == ("", 10.0)


@pytest.mark.parametrize(
    ("elements", "verdict"),
    [
        ({}, "good"),
        (
            {"BodyPartExamined": "HEAD", "StudyDescription": "", "SeriesDescription": ""},
            "is called 'HEAD', which is no chest",
        ),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "was computed of another series"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.6, -0.8]}, "oblique"),
    ],
)
def test_remarks_are_words_without_a_code_and_leave_the_series_usable(
    tmp_path: Path, elements: dict[str, Any], verdict: str
) -> None:
    row = row_of(tmp_path, **elements)
    assert verdict in row.verdict
    assert row.is_derived == ("computed" in verdict)
    assert bool(row.other_part) == ("called" in verdict)


def test_what_is_wrong_beside_it_makes_a_series_unusable(tmp_path: Path) -> None:
    row_of(tmp_path)
    series = contents_of(tmp_path / "a/b").series[0]
    row = series_row(tmp_path, "a/b", series, [problem("IM9", "container.truncated", "is cut off")])
    assert (row.verdict, row.problems, row.is_usable) == ("IM9 is cut off", "container.truncated", False)


@pytest.mark.parametrize(("agent", "has_contrast"), [("", False), ("None", False), ("NATIV", False), ("CE", True)])
def test_an_agent_that_is_none_is_no_contrast(tmp_path: Path, agent: str, has_contrast: bool) -> None:
    assert row_of(tmp_path, ContrastBolusAgent=agent).has_contrast == has_contrast


def test_no_row_has_the_name_of_a_patient(tmp_path: Path) -> None:
    assert NAME.partition("^")[0] not in repr(row_of(tmp_path))
