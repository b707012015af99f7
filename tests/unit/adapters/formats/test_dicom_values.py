"""Values of DICOM elements as archives write them, right or nearly so."""

from typing import Any

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from simcrop.adapters.formats.dicom_values import OddValueError, number, numbers, text, whole


def holding(name: str, value: bytes, kind: str | None = "DS", *, is_little: bool = True) -> Any:
    """A data set as it is read from a file, with one element nobody has looked at."""
    tag = Tag(name)
    return Dataset({tag: RawDataElement(tag, kind, len(value), value, 0, kind is None, is_little, True)})


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (b"0.5\\0.75 ", "DS", (0.5, 0.75)),
        (b"0,5\\0,75", "DS", (0.5, 0.75)),
        (b"0.5\\0.75\0", None, (0.5, 0.75)),
        (b"5E-1\\+.75", "LO", (0.5, 0.75)),
        (b"0.5\\0.75 ", "UN", (0.5, 0.75)),
        (b"\0\0\0?\0\0@?", "FL", (0.5, 0.75)),
        (b"", "DS", ()),
        (b"   ", "DS", ()),
    ],
)
def test_numbers_as_they_occur(value: bytes, kind: str | None, expected: tuple[float, ...]) -> None:
    assert numbers(holding("PixelSpacing", value, kind), "PixelSpacing") == expected


def test_the_byte_order_is_that_of_the_file() -> None:
    assert whole(holding("Rows", b"\x02\0", "US"), "Rows") == 2
    assert whole(holding("Rows", b"\0\x02", "US", is_little=False), "Rows") == 2
    assert whole(holding("Rows", b"\x02\0", None), "Rows") == 2
    assert whole(holding("PixelPaddingValue", b"\x30\xf8", "SS"), "PixelPaddingValue") == -2000
    assert whole(holding("PixelPaddingValue", b"\x30\xf8", "OW"), "PixelPaddingValue") == 63536
    assert whole(holding("PixelPaddingValue", b"\x30\xf8", None), "PixelPaddingValue") == 63536


@pytest.mark.parametrize("value", [b"abc", b"1,2,3", b"0.5\\\\1", b"1.000,5"])
def test_what_is_no_number_is_told_by_element_and_value(value: bytes) -> None:
    with pytest.raises(OddValueError, match=r"has PixelSpacing = .* is no number"):
        numbers(holding("PixelSpacing", value), "PixelSpacing")


def test_whole_numbers() -> None:
    assert whole(holding("InstanceNumber", b"12.0", "IS"), "InstanceNumber") == 12
    assert whole(holding("InstanceNumber", b"", "IS"), "InstanceNumber") is None
    assert number(holding("InstanceNumber", b"1.5 ", "IS"), "InstanceNumber") == 1.5
    for value in (b"1.5 ", b"nan ", b"inf "):
        with pytest.raises(OddValueError, match="expected a whole number"):
            whole(holding("InstanceNumber", value, "IS"), "InstanceNumber")
    with pytest.raises(OddValueError, match="of 3 bytes"):
        whole(holding("Rows", b"\x02\0\0", "US"), "Rows")


def test_text_is_one_line_and_never_an_error() -> None:
    dataset: Any = Dataset()
    dataset.SeriesDescription, dataset.ImageType = " Lung\r\n1.0 \x1b[31m", ["ORIGINAL", "AXIAL"]
    assert text(dataset, "SeriesDescription") == "Lung 1.0 [31m"
    assert text(dataset, "ImageType") == "ORIGINAL\\AXIAL"
    assert text(dataset, "PatientID") == ""
    assert text(holding("SeriesDescription", b"Th\xf6rax\xff", "LO"), "SeriesDescription").startswith("Th")
    assert text(holding("SeriesDescription", b"\x01\x02", "US"), "SeriesDescription") == "513"
    assert text(holding("SeriesDescription", b"abc", "US"), "SeriesDescription") == "abc"
    assert numbers(dataset, "PixelSpacing") == ()
