"""One slice of a DICOM series: its header, and its pixels in HU."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dicom_series import HU, write_series

from simcrop.adapters.formats.dicom_slices import read_header, read_pixels
from simcrop.core.data.problems import BadFileError


def test_a_header_says_where_the_slice_lies(tmp_path: Path) -> None:
    write_series(tmp_path)
    header = read_header(tmp_path / "7.dcm", tmp_path)  # the second one by its place
    assert (header.series, header.shape, header.spacing) == ("1.2.3", HU[0].shape, (2, 3))
    assert (header.slope, header.intercept, header.bits, header.padding) == (1, -1024, 16, None)
    np.testing.assert_array_equal(header.position, [-100, -80, -295])
    np.testing.assert_array_equal(header.directions, [[1, 0, 0], [0, 1, 0]])
    assert header.dtype == np.int32


def test_pixels_are_hu_and_padding_is_air(tmp_path: Path) -> None:
    def pad(dataset: Any, number: int) -> None:
        dataset.add_new("PixelPaddingValue", "US", int(HU[0, 0, 0]) + 1024)

    write_series(tmp_path, change=pad)
    header = read_header(tmp_path / "0.dcm", tmp_path)
    declared = float(HU[0, 0, 1])
    expected = np.where(np.isin(HU[0], [HU[0, 0, 0], declared]), -1000, HU[0])
    np.testing.assert_array_equal(read_pixels(header, tmp_path, header.dtype, declared), expected)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("Rows", 0, "header.dims"),
        ("PixelSpacing", [0, 3], "header.pixdim"),
        ("RescaleSlope", 0, "header.scaling"),
        ("ImagePositionPatient", [0, 0], "header.invalid"),
        ("NumberOfFrames", 2, "content.not_3d"),
        ("Rows", 5000, "container.truncated"),
    ],
)
def test_a_header_that_cannot_be_followed(tmp_path: Path, name: str, value: object, code: str) -> None:
    write_series(tmp_path, change=lambda dataset, number: setattr(dataset, name, value))
    with pytest.raises(BadFileError) as refused:
        read_header(tmp_path / "0.dcm", tmp_path)
    assert refused.value.problem.code == code


def test_a_link_out_of_the_data_set_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/0.dcm").symlink_to(tmp_path / "a/0.dcm")
    with pytest.raises(BadFileError, match="outside"):
        read_header(tmp_path / "b/0.dcm", tmp_path / "b")
