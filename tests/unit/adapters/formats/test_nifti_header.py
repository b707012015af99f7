"""The header of a NIfTI file: what it says, and what is told of it. sources/test_checking_damage has all damage."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.damage import AFFINE, SHAPE, nifti_bytes, synthetic_chest

from simcrop.adapters.formats.nifti_header import parse_header
from simcrop.core.data.problems import BadFileError, Problem

PATH = Path("a.nii")


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_versions_and_byte_orders_say_the_same(kind: type, order: str) -> None:
    image = kind.from_bytes(nifti_bytes(synthetic_chest(), kind=kind))
    data = kind(image.dataobj, image.affine, image.header.as_byteswapped(order)).to_bytes()
    told: list[Problem] = []
    header = parse_header(PATH, data[:540], told.append)
    assert (header.shape, header.scaling, header.data_file) == (SHAPE, (1.0, 0.0), PATH)
    assert header.dtype == np.dtype(f"{order}i2")
    assert header.offset == len(data) - header.num_bytes
    np.testing.assert_allclose(header.affine, AFFINE)
    assert told == []


def test_the_qform_stands_in_for_the_sform() -> None:
    image = nib.Nifti1Image.from_bytes(nifti_bytes(synthetic_chest()))
    image.set_sform(None, code=0)
    told: list[Problem] = []
    np.testing.assert_allclose(parse_header(PATH, image.to_bytes()[:540], told.append).affine, AFFINE)
    assert told == []


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "container.format"), (b"\x5c\x01\0\0", "container.truncated"), (b"PK\3\4" + bytes(600), "container.format")],
)
def test_what_is_no_header(data: bytes, code: str) -> None:
    with pytest.raises(BadFileError) as refused:
        parse_header(PATH, data, lambda found: None)
    assert refused.value.problem.code == code


def test_all_that_can_be_passed_over_is_told_at_once() -> None:
    image = nib.Nifti1Image.from_bytes(nifti_bytes(synthetic_chest()))
    image.set_qform(None, code=0)
    image.header.set_xyzt_units(0, 0)
    data = bytearray(image.to_bytes()[:540])
    data[112:116] = np.array(np.nan, "<f4").tobytes()
    told: list[Problem] = []
    assert parse_header(PATH, bytes(data), told.append).scaling == (1.0, 0.0)
    assert [found.code for found in told] == ["header.scaling", "header.no_qform", "header.units"]
