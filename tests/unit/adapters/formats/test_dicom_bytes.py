"""DICOM is known by its bytes, and never unpacks to more than it may."""

import gzip
import zlib
from pathlib import Path

import pydicom
import pytest
from support.dicom_series import write_series

from simcrop.adapters.formats.dicom_bytes import begins_as_dicom, followed, is_named_dicom, opened_dicom
from simcrop.core.data.problems import BadFileError


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    write_series(tmp_path / "series")
    return (tmp_path / "series/4.dcm").read_bytes()


def refused(path: Path, most: int) -> str:
    with pytest.raises(BadFileError) as caught, opened_dicom(path, most, whole=True) as file:
        file.read()
    return caught.value.problem.code


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("a.dcm", True),
        ("A.DCM", True),
        ("a.dicom", True),
        ("a.IMA", True),
        ("a.dcm.gz", True),
        ("a.img", False),
        ("a", 0),
    ],
)
def test_a_name_may_promise_dicom(name: str, is_one: bool) -> None:
    assert is_named_dicom(name) == is_one


def test_the_bytes_tell_whatever_the_name(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "README"
    for data in (whole, gzip.compress(whole), whole[132:], whole[128:], b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100"):
        path.write_bytes(data)
        assert begins_as_dicom(path), data[:16]
    texts = (
        b"",
        b"\x08\0",
        b"plain text " * 50,
        gzip.compress(b"text " * 99),
        b"\x1f\x8b\x08",
        whole[:131],
        b"\x08\0" * 99,
    )
    for data in texts:
        path.write_bytes(data)
        assert not begins_as_dicom(path), data[:16]
    assert not begins_as_dicom(tmp_path / "gone")


@pytest.mark.parametrize("kind", ["plain", "gzip", "no preamble", "magic alone"])
def test_the_same_elements_are_read_from_every_packing(tmp_path: Path, whole: bytes, kind: str) -> None:
    packings = {"plain": whole, "gzip": gzip.compress(whole), "no preamble": whole[132:], "magic alone": whole[128:]}
    (tmp_path / "a").write_bytes(packings[kind])
    with opened_dicom(tmp_path / "a", 1 << 20, whole=True) as file:
        dataset = pydicom.dcmread(file, force=True)
    assert (dataset.SeriesInstanceUID, len(dataset.PixelData)) == ("1.2.3", 448)


def test_what_unpacks_to_more_than_it_may_is_refused_before_it_does(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(gzip.compress(whole + bytes(1 << 20)))
    assert refused(path, 1 << 16) == "container.bomb"
    with opened_dicom(path, 1 << 16, whole=False) as file:
        assert len(file.read()) == 1 << 16
    described = whole[: whole.index(b"1.2.840.10008.1.2.1\0")]
    length = int.from_bytes(whole[140:144], "little") + 2
    syntax = b"1.2.840.10008.1.2.1.99"
    meta = described[:-2] + len(syntax).to_bytes(2, "little") + syntax
    rest = whole[len(described) + 20 : 144 + length - 2]
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(bytes(1 << 20)) + packer.flush()
    path.write_bytes(meta[:140] + length.to_bytes(4, "little") + meta[144:] + rest + packed)
    assert refused(path, 1 << 16) == "container.bomb"
    with opened_dicom(path, 1 << 21, whole=True):
        pass


def test_what_a_library_raises_becomes_words(tmp_path: Path) -> None:
    errors = (
        ValueError("invalid literal for int()"),
        EOFError(),
        RecursionError(),
        zlib.error("Error -3"),
        KeyError(7),
    )
    for error in errors:
        with pytest.raises(BadFileError) as caught, followed(tmp_path / "a.dcm"):
            raise error
        assert caught.value.problem.code in {"container.corrupt", "container.truncated"}
        assert not any(word in caught.value.problem.message for word in ("literal", "Error", "-3", "7"))
