"""One slice of a DICOM series: its header, and its pixels in HU."""

import gzip
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


def _signed(dataset: Any, value: int) -> np.ndarray:
    """The slice as signed HU, with this value in its first two rows."""
    stored = np.frombuffer(dataset.PixelData, "<u2").astype(np.int32).reshape(14, 16) - 1024
    stored[:2] = value
    dataset.PixelData, dataset.PixelRepresentation = stored.astype("<i2").tobytes(), 1
    dataset.RescaleIntercept = 0
    return stored


@pytest.mark.parametrize(
    ("kind", "value", "limit"),
    [
        ("SS", -2000, None),
        ("US", 63536, None),
        ("OW", b"\x30\xf8", None),
        ("UN", b"\x30\xf8", None),
        ("IS", "-2000", None),
        ("LO", "-2000,0", None),
        ("UL", 2**32 - 2000, None),
        ("SS", -2048, -1900),
        ("SS", -1900, -2048),
        ("US", 63488, 63636),
    ],
)
def test_padding_is_air_however_its_value_is_written(
    tmp_path: Path, kind: str, value: object, limit: int | None
) -> None:
    def pad(dataset: Any, number: int) -> None:
        _signed(dataset, -2000)
        dataset.add_new("PixelPaddingValue", kind, value)
        if limit is not None:
            dataset.add_new("PixelPaddingRangeLimit", kind, limit)

    write_series(tmp_path, change=pad)
    header = read_header(tmp_path / "0.dcm", tmp_path)
    found = read_pixels(header, tmp_path, header.dtype)
    np.testing.assert_array_equal(found[:2], -1000)
    np.testing.assert_array_equal(found[2:], HU[0, 2:])


def test_padding_that_names_matter_is_believed_where_the_corner_is_made_of_it(tmp_path: Path) -> None:
    def pad(value: int, rows: slice) -> Any:
        def change(dataset: Any, number: int) -> None:
            stored = _signed(dataset, -1000)
            stored[rows] = value
            dataset.PixelData = stored.astype("<i2").tobytes()
            dataset.add_new("PixelPaddingValue", "SS", value)

        return change

    for folder, rows, expected in (("rim", slice(0, 2), -1000), ("inside", slice(6, 8), 40)):
        write_series(tmp_path / folder, change=pad(40, rows))
        header = read_header(tmp_path / folder / "0.dcm", tmp_path)
        assert (read_pixels(header, tmp_path, header.dtype)[rows] == expected).all()


def test_padding_that_cannot_be_read_is_left_to_the_voxels(tmp_path: Path) -> None:
    write_series(tmp_path, change=lambda dataset, number: dataset.add_new("PixelPaddingValue", "LO", "none"))
    assert read_header(tmp_path / "0.dcm", tmp_path).padding is None


def test_several_declared_values_are_air(tmp_path: Path) -> None:
    write_series(tmp_path)
    header = read_header(tmp_path / "0.dcm", tmp_path)
    values = [float(HU[0, 0, 0]), float(HU[0, 0, 1])]
    expected = np.where(np.isin(HU[0], values), -1000, HU[0])
    np.testing.assert_array_equal(read_pixels(header, tmp_path, header.dtype, values), expected)


def _rewritten(folder: Path, kind: str) -> None:
    """Departures from the standard that leave no doubt of what is meant."""
    path = folder / "0.dcm"
    data = path.read_bytes()
    meta = 144 + int.from_bytes(data[140:144], "little")
    if kind == "no preamble":
        data = data[132:]
    elif kind == "no description of the file":
        data = data[meta:]
    elif kind == "no transfer syntax":
        at = data.index(b"\x02\0\x10\0UI")
        length = 8 + int.from_bytes(data[at + 6 : at + 8], "little")
        size = (meta - 144 - length).to_bytes(4, "little")
        data = data[:140] + size + data[144:at] + data[at + length :]
    elif kind == "decimal commas":
        data = data.replace(b"2.0\\3.0", b"2,0\\3,0").replace(b"2\\3", b"2,\\3")
        data = data.replace(b"-1024.0", b"-1024,0").replace(b"1.0 ", b"1,0 ")
    elif kind == "bytes behind the pixels":
        data += b"\x10\x80\x10\0SQ\0\0\xff\xff\xff\xff" + b"\xaa" * 40 + bytes(1000) + b"trailing text"
    elif kind == "padding behind the pixels":
        data += b"\xfc\xff\xfc\xffOB\0\0\x08\0\0\0" + bytes(8)
    elif kind == "gzip":
        data = gzip.compress(data)
    path.write_bytes(data)


@pytest.mark.parametrize(
    "kind",
    [
        *("no preamble", "no description of the file", "no transfer syntax", "decimal commas", "gzip"),
        *("bytes behind the pixels", "padding behind the pixels"),
    ],
)
def test_departures_without_doubt_are_read(tmp_path: Path, kind: str) -> None:
    write_series(tmp_path)
    before = (tmp_path / "0.dcm").read_bytes()
    _rewritten(tmp_path, kind)
    assert (tmp_path / "0.dcm").read_bytes() != before
    header = read_header(tmp_path / "0.dcm", tmp_path)
    assert (header.spacing, header.slope, header.intercept) == ((2, 3), 1, -1024)
    np.testing.assert_array_equal(read_pixels(header, tmp_path, header.dtype), HU[0])


@pytest.mark.parametrize("more", [2, 12, 448, 4480])
def test_more_pixels_than_declared_are_left_out(tmp_path: Path, more: int) -> None:
    write_series(tmp_path, change=lambda dataset, _: setattr(dataset, "PixelData", dataset.PixelData + b"\xff" * more))
    header = read_header(tmp_path / "0.dcm", tmp_path)
    np.testing.assert_array_equal(read_pixels(header, tmp_path, header.dtype), HU[0])


def test_elements_that_are_always_the_same_may_be_missing(tmp_path: Path) -> None:
    def without(dataset: Any, number: int) -> None:
        del dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.HighBit
        del dataset.Modality, dataset.SeriesInstanceUID

    write_series(tmp_path, change=without)
    header = read_header(tmp_path / "0.dcm", tmp_path)
    np.testing.assert_array_equal(read_pixels(header, tmp_path, header.dtype), HU[0])


@pytest.mark.parametrize(
    ("name", "kind", "value", "words"),
    [
        ("Rows", "LO", "many", "has Rows = 'many', which is no number"),
        ("Rows", "LO", "14.5", "has Rows = 14.5; expected a whole number"),
        ("NumberOfFrames", "LO", "one", "has NumberOfFrames = 'one', which is no number"),
        ("PixelSpacing", "LO", "2,0,3,0", "has PixelSpacing = '2,0,3,0', which is no number"),
        ("PixelSpacing", "DS", "2", r"has PixelSpacing = \[2.0\]; expected 2 numbers"),
        ("ImagePositionPatient", "LO", "a\\b\\c", "ImagePositionPatient = .* which is no number"),
        ("RescaleSlope", "LO", "unity", "has RescaleSlope = 'unity', which is no number, so its HU are unknown"),
        ("BitsAllocated", "US", 12, "stores numbers of 12 bits; 8, 16 and 32 are read"),
        ("BitsStored", "US", 0, "has BitsStored = 0, of 16 bits"),
        ("PhotometricInterpretation", "CS", "RGB", "holds RGB; CT is MONOCHROME2"),
    ],
)
def test_a_value_that_cannot_be_read_is_told_in_words(
    tmp_path: Path, name: str, kind: str, value: Any, words: str
) -> None:
    write_series(tmp_path, change=lambda dataset, number: dataset.add_new(name, kind, value))
    with pytest.raises(BadFileError, match=words):
        read_header(tmp_path / "0.dcm", tmp_path)
