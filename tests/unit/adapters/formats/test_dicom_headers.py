"""A file is told by its header, not by its name."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from support.dicom_series import HU, write_series

from simcrop.adapters.formats.dicom_headers import DicomHeader, Kind, read_dicom_header

STORAGE = "1.2.840.10008.5.1.4.1.1."


def written(folder: Path, **values: Any) -> Path:
    """A slice with some elements changed; None takes one out."""

    def change(dataset: Any, number: int) -> None:
        for name, value in values.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)
        if values.get("SOPClassUID"):
            dataset.file_meta.MediaStorageSOPClassUID = values["SOPClassUID"]

    write_series(folder, change=change)
    return folder / "7.dcm"  # the second one by its place


def described(folder: Path, **values: Any) -> DicomHeader:
    return read_dicom_header(written(folder, **values))


def test_a_slice_with_all_that_is_known_of_its_series(tmp_path: Path) -> None:
    header = described(
        tmp_path,
        StudyInstanceUID="1.2",
        PatientID="P1",
        AccessionNumber="A7",
        StudyDate="20240131",
        SeriesDescription="Lung 1.0",
        SeriesNumber=3,
        ConvolutionKernel=["Br40f", "3"],
        SliceThickness="1.5",
        InstanceNumber=12,
        ContrastBolusAgent="APPLIED",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        AcquisitionNumber=4,
    )
    assert (header.kind, header.series, header.study, header.patient) == (Kind.SLICE, "1.2.3", "1.2", "P1")
    assert (header.accession, header.study_date, header.series_number) == ("A7", "20240131", 3)
    assert (header.description, header.kernel, header.thickness_mm) == ("Lung 1.0", "Br40f\\3", 1.5)
    assert (header.number, header.contrast, header.image_type[-1]) == (12, "APPLIED", "AXIAL")
    assert (header.shape, header.spacing_mm, header.position) == ((14, 16), (2, 3), (-100, -80, -295))
    assert header.phases["AcquisitionNumber"] == "4"
    np.testing.assert_array_equal(header.normal, [0, 0, 1])
    assert header.problem is None


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"SOPClassUID": STORAGE + "2.1", "NumberOfFrames": 40}, Kind.ENHANCED),
        ({"SOPClassUID": STORAGE + "2.2", "NumberOfFrames": 40}, Kind.ENHANCED),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Kind.LOCALIZER),
        ({"ImageType": ["DERIVED", "SECONDARY", "LOCALIZER ", "MPR"]}, Kind.LOCALIZER),
        ({"SOPClassUID": STORAGE + "88.67", "Modality": "SR"}, Kind.DOSE_REPORT),
        ({"SOPClassUID": STORAGE + "88.22", "Modality": "SR"}, Kind.REPORT),
        ({"SOPClassUID": STORAGE + "66.4", "Modality": "SEG"}, Kind.SEGMENTATION),
        ({"SOPClassUID": STORAGE + "481.3", "Modality": "RTSTRUCT"}, Kind.CONTOURS),
        ({"SOPClassUID": STORAGE + "7", "Modality": "OT"}, Kind.PICTURE),
        ({"SOPClassUID": STORAGE + "7", "Modality": "CT", "ImagePositionPatient": None}, Kind.PICTURE),
        ({"SOPClassUID": STORAGE + "7", "Modality": "CT"}, Kind.SLICE),
        ({"SOPClassUID": STORAGE + "4", "Modality": "MR"}, Kind.OTHER),
        ({"SOPClassUID": STORAGE + "128", "Modality": "PT"}, Kind.OTHER),
        ({"SOPClassUID": STORAGE + "11.1", "Modality": "PR"}, Kind.OTHER),
        ({"SOPClassUID": "1.2.840.10008.1.3.10"}, Kind.DIRECTORY),
        ({"SOPClassUID": "1.3.12.2.1107.5.9.1", "Modality": "OT"}, Kind.OTHER),
        ({"Modality": None}, Kind.SLICE),
        ({"Modality": "PT"}, Kind.OTHER),
    ],
)
def test_objects_are_told_apart(tmp_path: Path, values: dict[str, Any], kind: Kind) -> None:
    header = described(tmp_path, **values)
    assert header.kind == kind
    assert header.what.startswith(kind)


def test_another_object_is_named_by_its_class_and_modality(tmp_path: Path) -> None:
    header = described(tmp_path, SOPClassUID=STORAGE + "4", Modality="MR")
    assert header.what == "another DICOM object (MR Image Storage of modality MR)"


def test_a_file_without_class_is_judged_by_modality_or_place(tmp_path: Path) -> None:
    for number, (modality, kind) in enumerate((("CT", Kind.SLICE), ("", Kind.SLICE), ("SR", Kind.REPORT))):
        path = written(tmp_path / str(number), Modality=modality)
        dataset: Any = pydicom.dcmread(path)
        del dataset.SOPClassUID
        del dataset.file_meta.MediaStorageSOPClassUID
        dataset.save_as(path)
        assert read_dicom_header(path).kind == kind


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_departures_that_every_reader_takes(tmp_path: Path, syntax: str) -> None:
    write_series(tmp_path, syntax=syntax)
    whole = (tmp_path / "7.dcm").read_bytes()
    meta = 144 + int.from_bytes(whole[140:144], "little")
    for number, data in enumerate((whole[132:], whole[128:], whole[meta:], gzip.compress(whole), whole + bytes(100))):
        (tmp_path / f"a{number}").write_bytes(data)
        header = read_dicom_header(tmp_path / f"a{number}")
        assert (header.kind, header.series, header.shape) == (Kind.SLICE, "1.2.3", (14, 16)), number


@pytest.mark.parametrize(
    ("name", "data", "kind", "code"),
    [
        ("README", b"exported by an archive\n", Kind.NO_DICOM, None),
        ("P1.ZIP", b"PK\x03\x04", Kind.ARCHIVE, None),
        ("index", b"<html>", Kind.NO_DICOM, "container.html"),
        ("empty", b"", Kind.NO_DICOM, "container.empty"),
        ("a.dcm", b"", Kind.DAMAGED, "container.empty"),
        ("a.dcm", b"plain text", Kind.DAMAGED, "container.format"),
        ("a.dcm.gz", gzip.compress(b"DICOM", mtime=0)[:-4], Kind.DAMAGED, "container.truncated"),
        ("a", bytes(128) + b"DICM", Kind.DAMAGED, "container.truncated"),
        ("a", bytes(128) + b"DICM\x02\0\0\0UL\x04\0\xff\xff\xff\xff", Kind.DAMAGED, "container.truncated"),
        ("a", b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100", Kind.NO_DICOM, None),
    ],
)
def test_what_is_no_dicom_and_what_is_damaged(
    tmp_path: Path, name: str, data: bytes, kind: Kind, code: str | None
) -> None:
    (tmp_path / name).write_bytes(data)
    header = read_dicom_header(tmp_path / name)
    assert header.kind == kind
    assert (header.problem and header.problem.code) == code


def test_a_link_out_of_the_data_set_is_damage(tmp_path: Path) -> None:
    path = written(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/IM1").symlink_to(path)
    header = read_dicom_header(tmp_path / "b/IM1", tmp_path / "b")
    assert header.problem is not None
    assert (header.kind, header.problem.code) == (Kind.DAMAGED, "safety.outside")
    assert read_dicom_header(tmp_path / "b/IM1").kind == Kind.SLICE


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_slice_that_is_cut_off_anywhere_is_damaged(tmp_path: Path, syntax: str) -> None:
    write_series(tmp_path / "whole", HU[:1], syntax=syntax)
    whole = next((tmp_path / "whole").iterdir())
    data, cut = whole.read_bytes(), tmp_path / "cut.dcm"
    assert read_dicom_header(whole).kind is Kind.SLICE
    for length in range(140, len(data), 11):
        cut.write_bytes(data[:length])
        header = read_dicom_header(cut)
        assert (header.kind, header.problem and header.problem.code) == (Kind.DAMAGED, "container.truncated"), length
    cut.write_bytes(data + b"more")
    assert read_dicom_header(cut).kind is Kind.SLICE
