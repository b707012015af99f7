"""Compressed slices read as the same slices do uncompressed, to the last bit; what cannot be unpacked is named."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless
from support.dicom_packing import (
    BASELINE,
    EXTENDED,
    EXTENDED_FRAME,
    HTJ2K,
    HTJ2K_FRAMES,
    HTJ2K_LOSSY,
    HTJ2K_RPCL,
    JPEG_2000,
    JPEG_2000_LOSSY,
    JPEG_LS,
    JPEG_LS_NEAR,
    LOSSLESS,
    LOSSLESS_SV1,
    MPEG_2,
    STEPS,
    pack_as,
    packing,
)
from support.dicom_series import HU as SMALL
from support.dicom_series import Change, write_series

from simcrop.adapters.formats.dicom import opened_series
from simcrop.adapters.formats.dicom_pixels import check_packing, frames_of, is_deflated, is_native, loss, unpacked
from simcrop.adapters.formats.stored import inspect_stored, read_stored
from simcrop.core.data.problems import BadFileError, Problem, refuse

HU = np.tile(SMALL[:4], (1, 3, 3))
"""[slice, row, column], large enough for the encoder of JPEG 2000."""


def read(folder: Path) -> np.ndarray:
    return read_stored(folder, opened_series(folder, folder, None, refuse)).voxels.numpy()


def found(folder: Path) -> list[Problem]:
    told: list[Problem] = []
    inspect_stored(folder, opened_series(folder, folder, None, told.append), told.append)
    return [problem for problem in told if problem.code not in {"content.field_of_view", "content.few_slices"}]


def numbers(*, is_signed: bool, bits: int, slope: float = 1, intercept: float = -1024) -> Change:
    """Slices that store HU by this scaling, in signed or unsigned numbers."""

    def change(dataset: Any, number: int) -> None:
        stored = np.round((HU[number] - intercept) / slope)
        dataset.PixelData = stored.astype("<i2" if is_signed else "<u2").tobytes()
        dataset.PixelRepresentation = int(is_signed)
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept

    return change


def both(first: Change, second: Change) -> Change:
    def change(dataset: Any, number: int) -> None:
        first(dataset, number)
        second(dataset, number)

    return change


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize(
    "stored",
    [
        numbers(is_signed=False, bits=12),
        numbers(is_signed=False, bits=16, slope=0.5, intercept=-8192),
        numbers(is_signed=True, bits=12, intercept=0),
        numbers(is_signed=True, bits=16, slope=2, intercept=-24),
    ],
)
def test_a_lossless_series_reads_as_the_uncompressed_one(tmp_path: Path, syntax: str, stored: Change) -> None:
    write_series(tmp_path / "plain", HU, change=stored)
    write_series(tmp_path / "packed", HU, change=both(stored, packing(syntax)))
    np.testing.assert_array_equal(read(tmp_path / "packed"), read(tmp_path / "plain"))
    assert found(tmp_path / "packed") == []


def test_a_deflated_series_reads_as_the_plain_one(tmp_path: Path) -> None:
    write_series(tmp_path / "plain")
    write_series(tmp_path / "packed", syntax=DeflatedExplicitVRLittleEndian)
    np.testing.assert_array_equal(read(tmp_path / "packed"), read(tmp_path / "plain"))
    blank = np.zeros((2, 64, 64), np.int16)
    write_series(tmp_path / "blank", blank, syntax=DeflatedExplicitVRLittleEndian)
    assert (tmp_path / "blank/0.dcm").stat().st_size < blank[0].nbytes
    assert not read(tmp_path / "blank").any()


def steps(syntax: str, frame: bytes, *, is_signed: bool = False, bits: int = 16) -> Change:
    """Slices that show the ready-made frame."""

    def change(dataset: Any, number: int) -> None:
        dataset.Rows, dataset.Columns = STEPS.shape
        dataset.PixelRepresentation, dataset.RescaleIntercept = int(is_signed), 0
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
        pack_as(dataset, syntax, frame)

    return change


@pytest.mark.parametrize("syntax", [HTJ2K, HTJ2K_RPCL])
@pytest.mark.parametrize(("kind", "offset"), [("unsigned", 0), ("signed", 700)])
def test_high_throughput_jpeg_2000_is_read_to_the_last_bit(tmp_path: Path, syntax: str, kind: str, offset: int) -> None:
    write_series(tmp_path, HU[:2], change=steps(syntax, HTJ2K_FRAMES[kind], is_signed=offset > 0))
    np.testing.assert_array_equal(read(tmp_path)[::-1, ::-1, 0].T, STEPS - offset)


@pytest.mark.parametrize(
    ("syntax", "frame", "bits", "name", "most"),
    [(EXTENDED, EXTENDED_FRAME, 12, "JPEG Extended", 1), (HTJ2K_LOSSY, HTJ2K_FRAMES["lossy"], 16, "HTJ2K", 2)],
)
def test_what_lost_something_is_read_and_noted(
    tmp_path: Path, syntax: str, frame: bytes, bits: int, name: str, most: int
) -> None:
    write_series(tmp_path, HU[:2], change=steps(syntax, frame, bits=bits))
    assert 0 < np.abs(read(tmp_path)[::-1, ::-1, 0].T - STEPS).max() <= most
    (note,) = [problem for problem in found(tmp_path) if problem.code == "content.lossy"]
    assert note.severity == "note"
    assert f"with loss ({name}) in 2 of 2 slices" in note.message


@pytest.mark.parametrize(
    ("syntax", "name"), [(EXTENDED, "JPEG Extended"), (JPEG_2000_LOSSY, "JPEG 2000"), (JPEG_LS_NEAR, "JPEG-LS")]
)
def test_a_lossy_series_stays_near_the_uncompressed_one(tmp_path: Path, syntax: str, name: str) -> None:
    write_series(tmp_path, HU, change=both(numbers(is_signed=False, bits=12), packing(syntax)))
    off = np.abs(read(tmp_path)[::-1, ::-1].astype(int) - np.moveaxis(HU, 0, -1).swapaxes(0, 1))
    assert off.mean() < 20
    (note,) = found(tmp_path)
    assert (note.code, note.values["methods"]) == ("content.lossy", name)


def test_a_picture_in_eight_bits_is_read_by_the_baseline(tmp_path: Path) -> None:
    def change(dataset: Any, number: int) -> None:
        file = io.BytesIO()
        Image.fromarray((STEPS // 8).astype(np.uint8)).save(file, "JPEG", quality=98)
        steps(BASELINE, file.getvalue(), bits=8)(dataset, number)
        dataset.BitsAllocated = 8

    write_series(tmp_path, HU[:2], change=change)
    assert np.abs(read(tmp_path)[::-1, ::-1, 0].T - STEPS // 8).max() <= 3


def test_what_was_unpacked_again_keeps_its_loss_and_what_says_that_it_has_none_is_believed(tmp_path: Path) -> None:
    def said(dataset: Any, number: int) -> None:
        dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = "01", "ISO_10918_1"

    write_series(tmp_path / "a", change=said)
    (note,) = found(tmp_path / "a")
    assert (note.code, note.values["methods"]) == ("content.lossy", "ISO_10918_1")

    def denied(dataset: Any, number: int) -> None:
        dataset.LossyImageCompression = "00"

    write_series(tmp_path / "b", HU, change=both(denied, packing(JPEG_2000_LOSSY)))
    assert found(tmp_path / "b") == []


DAMAGED = [RLELossless, LOSSLESS_SV1, JPEG_LS, JPEG_2000]


@pytest.mark.parametrize("syntax", DAMAGED)
@pytest.mark.parametrize(
    "damage",
    [
        lambda frame: frame[: len(frame) // 2],
        lambda frame: frame[: len(frame) // 2] + bytes(len(frame) - len(frame) // 2),
        lambda frame: frame[: len(frame) // 2] + frame[-4:],
        lambda frame: frame[: len(frame) // 2] + frame[len(frame) // 2 + 60 :],
        lambda frame: bytes(len(frame)),
        lambda frame: bytes(2),
        lambda frame: frame[2:],
        lambda frame: b"\xff\xd8\xff\xd9",
    ],
)
def test_a_damaged_stream_is_named_and_never_read_as_zeros(
    tmp_path: Path, syntax: str, damage: Callable[[bytes], bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    write_series(tmp_path, HU[:2], change=packing(syntax, damage))
    codes = {problem.code for problem in found(tmp_path)}
    assert codes & {"container.truncated", "container.corrupt", "container.length"}
    assert capfd.readouterr() == ("", "")


def test_a_lossy_stream_whose_middle_is_missing_is_named(tmp_path: Path) -> None:
    cut = EXTENDED_FRAME[:-40] + EXTENDED_FRAME[-2:]
    write_series(tmp_path, HU[:2], change=steps(EXTENDED, cut, bits=12))
    (bad,) = [problem for problem in found(tmp_path) if problem.severity == "error"]
    assert bad.code == "container.corrupt"
    assert "compressed as JPEG Extended, cannot be unpacked" in bad.message


@pytest.mark.filterwarnings("ignore:End of file reached")
@pytest.mark.parametrize("syntax", DAMAGED)
def test_a_compressed_file_that_is_cut_anywhere_is_refused(tmp_path: Path, syntax: str) -> None:
    write_series(tmp_path, HU[:2], change=packing(syntax))
    path = tmp_path / "0.dcm"
    whole = path.read_bytes()
    for length in range(700, len(whole) - 8, 41):  # the last 8 bytes are the delimiter alone
        path.write_bytes(whole[:length])
        assert [problem for problem in found(tmp_path) if problem.severity == "error"], length


@pytest.mark.parametrize(
    ("syntax", "values", "code"),
    [
        (LOSSLESS_SV1, {"Rows": 60000, "Columns": 60000}, "header.dims_huge"),
        (JPEG_2000, {"Columns": 60000}, "container.length"),
        (JPEG_LS, {"Rows": 15}, "container.length"),
        (RLELossless, {"Rows": 4000, "Columns": 4000}, "container.corrupt"),
        (RLELossless, {"BitsAllocated": 12}, "header.datatype"),
        (JPEG_2000, {"BitsStored": 99}, "header.invalid"),
        (RLELossless, {"SamplesPerPixel": 3}, "content.not_3d"),
    ],
)
def test_sizes_that_lie_are_seen_before_anything_is_unpacked(
    tmp_path: Path, syntax: str, values: dict[str, int], code: str
) -> None:
    def lie(dataset: Any, number: int) -> None:
        packing(syntax)(dataset, number)
        for name, value in values.items():
            setattr(dataset, name, value)

    write_series(tmp_path, HU[:2], change=lie)
    with pytest.raises(BadFileError) as refused:
        read(tmp_path)
    assert refused.value.problem.code == code


def test_a_stream_that_lies_about_its_own_size_is_not_believed(tmp_path: Path) -> None:
    def huge(frame: bytes) -> bytes:
        at = frame.index(b"\xff\x51") + 6
        return frame[:at] + b"\x00\x00\xff\xff\x00\x00\xff\xff" + frame[at + 8 :]

    write_series(tmp_path, HU[:2], change=packing(JPEG_2000, huge))
    (bad,) = found(tmp_path)
    assert (bad.code, bad.values["rows"]) == ("container.length", 65535)


def test_a_packing_that_is_not_read_is_told_with_those_that_are(tmp_path: Path) -> None:
    write_series(tmp_path, change=lambda dataset, number: pack_as(dataset, MPEG_2, b"video"))
    with pytest.raises(BadFileError, match=r"compressed as MPEG2 .*uncompressed files, RLE, JPEG Baseline.* are read"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("syntax", "package", "name"), [(JPEG_LS, "gdcm", "JPEG-LS Lossless"), (JPEG_2000, "openjpeg", "JPEG 2000")]
)
def test_without_a_decoder_one_line_names_the_syntax_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str, package: str, name: str
) -> None:
    write_series(tmp_path, HU[:2], change=packing(syntax))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BadFileError) as refused:
        read(tmp_path)
    line = str(refused.value)
    assert refused.value.problem.code == "container.no_decoder"
    assert name in line
    assert syntax in line
    assert "pip install 'simcrop[dicom]'" in line
    assert "\n" not in line


def slice_of(syntax: str = ExplicitVRLittleEndian) -> Any:
    dataset: Any = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.Rows, dataset.Columns = STEPS.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.PixelRepresentation = 16, 12, 1
    return dataset


def test_frames_of_a_plain_file_are_cut_and_what_is_behind_the_last_is_padding() -> None:
    dataset = slice_of()
    stored = (STEPS - 700).astype("<i2") & 0x0FFF  # four bits that do not count
    dataset.PixelData = np.stack([stored, stored | 0x4000]).astype("<u2").tobytes() + bytes(10)
    check_packing(Path("a"), dataset)
    assert (is_native(dataset), is_deflated(dataset), loss(dataset)) == (True, False, "")
    for frame in frames_of(Path("a"), dataset, 2):
        np.testing.assert_array_equal(unpacked(Path("a"), dataset, frame), STEPS - 700)
    for count, code in ((3, "container.truncated"), (1, "container.length")):
        with pytest.raises(BadFileError) as refused:
            frames_of(Path("a"), dataset, count)
        assert refused.value.problem.code == code


def test_frames_of_a_compressed_file_are_counted() -> None:
    dataset = slice_of(HTJ2K)
    pack_as(dataset, HTJ2K, *[HTJ2K_FRAMES["signed"]] * 3)
    frames = frames_of(Path("a"), dataset, 3)
    np.testing.assert_array_equal(unpacked(Path("a"), dataset, frames[2]), STEPS - 700)
    for count in (2, 4):
        with pytest.raises((BadFileError, ValueError)):
            frames_of(Path("a"), dataset, count)
