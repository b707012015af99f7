"""Files by names that another system spelled."""

import unicodedata
from pathlib import Path

import pytest

from simcrop.adapters.sources.named_files import NamedFiles, differ_in_case, is_of_windows

NFC, NFD = (unicodedata.normalize(form, "sägen/görüntü.nii.gz") for form in ("NFC", "NFD"))


def make(root: Path, *names: str) -> NamedFiles:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return NamedFiles(root)


def test_a_cell_becomes_a_name_with_slashes_and_a_blank_one_none(tmp_path: Path) -> None:
    files = make(tmp_path, "a\\b.nii")
    cells = [" scans\\v 0.nii.gz ", "scans/v.nii", "a\\b.nii", "", " ", "nan", "-", "..\\up.nii", "C:\\data\\x.nii"]
    names = ["scans/v 0.nii.gz", "scans/v.nii", "a\\b.nii", "", "", "", "", "../up.nii", "C:/data/x.nii"]
    assert [files.name_of(cell) for cell in cells] == names
    assert [is_of_windows(name) for name in ("C:/data/x.nii", "//server/share/x.nii", "scans/x.nii")] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(("on_disk", "named"), [(NFC, NFD), (NFD, NFC)])
def test_forms_of_unicode_are_one_name(tmp_path: Path, on_disk: str, named: str) -> None:
    files = make(tmp_path, on_disk)
    assert files.spelled_otherwise(named) == on_disk
    assert not differ_in_case(on_disk, named)


def test_case_counts_only_where_two_files_differ_in_it(tmp_path: Path) -> None:
    files = make(tmp_path, "Scans/V0.NII.GZ", "Scans/V1.nii.gz", "Scans/v1.NII.GZ")
    assert files.spelled_otherwise("scans/v0.nii.gz") == "Scans/V0.NII.GZ"
    assert differ_in_case("scans/v0.nii.gz", "Scans/V0.NII.GZ")
    assert files.spelled_otherwise("scans/v1.nii.gz") is None
    assert files.spelled_otherwise("scans/v1.NII.GZ") == "Scans/v1.NII.GZ"


def test_what_is_not_there_and_what_climbs_out_is_not_found(tmp_path: Path) -> None:
    files = make(tmp_path / "data", "a.nii")
    (tmp_path / "B.nii").touch()
    assert [files.spelled_otherwise(name) for name in ("b.nii", "x/a.nii", "../b.nii", "/b.nii")] == [None] * 4
