"""A file is told by its header, and is the same after it was kept as text."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import XRayRadiationDoseSRStorage
from support.data_folders import chest, write_volume
from support.landmarks import slices_first
from support.metaimages import write_mhd
from support.pacs_export import NAME, dataset_of, save, save_slices, slices_of

from simcrop.adapters.formats.dicom_headers import Kind, read_dicom_header
from simcrop.adapters.sources.indexing.entries import Entry, entry_of, read_entries, read_entry
from simcrop.adapters.sources.indexing.walking import Found, walk

STUDY = {"StudyInstanceUID": "1.9", "PatientID": "P1", "AccessionNumber": "A1", "StudyDate": "20210304"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A slice, a dose report, a volume with its voxels apart, and what is none of these."""
    hu = slices_first(chest(0, (16, 14, 1)))
    save_slices(
        tmp_path,
        slices_of(
            STUDY,
            "1.2.3",
            hu,
            5.0,
            ConvolutionKernel=["Br40d", "3"],
            SeriesDescription="Göğüs",
            SpecificCharacterSet="ISO_IR 192",
        ),
    )
    save(dataset_of(XRayRadiationDoseSRStorage, "SR", SeriesInstanceUID="1.5"), tmp_path / "dose", "1.5.1")
    write_mhd(tmp_path / "ct.mhd", chest())
    (tmp_path / "scans.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "cut.dcm").write_bytes(b"")
    (tmp_path / "ct.nii.gz").write_bytes(b"no gzip")
    (tmp_path / "notes").write_text("text")
    (tmp_path / ".hidden").write_bytes(b"")
    return tmp_path


def entries(root: Path) -> dict[str, Entry]:
    return {found.name: entry_of(root, found, read_entry(root, found).as_text()) for found in walk(root)}


def test_every_file_is_called_what_it_is(root: Path) -> None:
    words = {name: entry.what for name, entry in entries(root).items()}
    assert words == {
        "0001.dcm": "a slice of CT",
        "dose": "a dose report",
        "ct.mhd": "a volume",
        "ct.raw": "no scan, by what it holds",
        "scans.zip": "an archive; unpack it first",
        "cut.dcm": "DICOM that cannot be read",
        "ct.nii.gz": "a volume that cannot be read",
        "notes": "no scan, by what it holds",
        ".hidden": "a hidden file (its name begins with a dot)",
    }
    codes = {name: entry.problems[0].code for name, entry in entries(root).items() if entry.problems}
    assert codes == {"cut.dcm": "container.empty", "ct.nii.gz": "container.format"}
    assert {name: entry.series for name, entry in entries(root).items() if entry.series is not None} == {
        "0001.dcm": "1.2.3"
    }


def test_a_header_comes_back_as_it_was(root: Path) -> None:
    before, after = read_dicom_header(root / "0001.dcm", root), entries(root)["0001.dcm"].header
    assert after is not None
    assert dataclasses.asdict(after) == dataclasses.asdict(before)
    assert (after.kind, after.description, after.kernel) == (Kind.SLICE, "Göğüs", r"Br40d\3")
    damaged = entries(root)["cut.dcm"].header
    assert damaged is not None
    assert damaged.problem is not None
    assert (damaged.kind, damaged.problem.code) == (Kind.DAMAGED, "container.empty")


def test_a_volume_is_described_by_its_header(root: Path) -> None:
    volume = entries(root)["ct.mhd"].volume
    assert volume is not None
    assert (volume["shape"], volume["is_one_byte"], volume["data_files"]) == ([16, 14, 10], False, ["ct.raw"])
    assert np.shape(volume["affine"]) == (4, 4)
    write_volume(root / "mask.nii", (chest() > 0).astype(np.uint8))
    mask = entries(root)["mask.nii"].volume
    assert mask is not None
    assert mask["is_one_byte"]


def test_a_piece_gives_texts_with_their_series_and_no_names_of_patients(root: Path) -> None:
    files = list(walk(root))
    kept = read_entries(root, files)
    assert [series for _, series in kept].count("1.2.3") == 1
    assert len(kept) == len(files)
    assert NAME.partition("^")[0] not in "".join(text for text, _ in kept)


def test_a_file_that_is_gone_is_no_error(tmp_path: Path) -> None:
    for name in ("a.dcm", "a", "a.mhd", "a.nii"):
        assert read_entry(tmp_path, Found("", name)).problems[0].code in {"container.missing", "container.unreadable"}
