"""MetaImage: axes, numbers, lengths, packing, and headers that are not to be followed."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from support.data_folders import chest
from support.landmarks import found_at, is_ras, with_landmark
from support.metaimages import write_mhd

from simcrop.adapters.formats.metaimage import opened_metaimage
from simcrop.adapters.formats.stored import inspect_stored, read_stored
from simcrop.core.data.problems import BadFileError, Problem, refuse
from simcrop.core.data.study import Volume


def read(path: Path) -> Volume:
    return read_stored(path, opened_metaimage(path, refuse, path.parent))


def told(path: Path, *, is_error: bool = True) -> list[str]:
    problems: list[Problem] = []
    inspect_stored(path, opened_metaimage(path, problems.append, path.parent), problems.append)
    return [found.code for found in problems if not is_error or found.severity == "error"]


def refusal(path: Path) -> str:
    with pytest.raises(BadFileError) as refused:
        read(path)
    return refused.value.problem.code


def test_voxels_and_spacing_are_read(tmp_path: Path) -> None:
    path = write_mhd(tmp_path / "a.mhd")
    volume = read(path)
    assert volume.spacing_mm == (3, 2, 5)
    # The file counts to the left and to the back.
    np.testing.assert_array_equal(volume.voxels.numpy(), chest()[::-1, ::-1])
    assert told(path) == []


@pytest.mark.parametrize(
    ("index", "world_mm"),
    [((0, 0, 0), [100, 80.5, -300]), ((15, 0, 0), [55, 80.5, -300]), ((0, 13, 9), [100, 54.5, -255])],
)
def test_a_landmark_comes_out_at_its_place(tmp_path: Path, index: tuple[int, int, int], world_mm: list[float]) -> None:
    volume = read(write_mhd(tmp_path / "a.mhd", with_landmark(chest(), index)))
    assert found_at(volume) == world_mm
    assert is_ras(volume)


def test_the_matrix_lists_the_direction_of_each_axis_in_turn(tmp_path: Path) -> None:
    # x of the file runs to the back, y to the head, z to the left.
    voxels = with_landmark(chest(), (15, 0, 9))
    volume = read(write_mhd(tmp_path / "a.mhd", voxels, TransformMatrix="0 1 0 0 0 1 1 0 0", Offset="0 0 0"))
    assert found_at(volume) == [-45, -45, 0]
    assert is_ras(volume)
    assert volume.spacing_mm == (5, 3, 2)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("CHAR", "i1"),
        ("UCHAR", "u1"),
        ("SHORT", "i2"),
        ("USHORT", "u2"),
        ("INT", "i4"),
        ("UINT", "u4"),
        ("FLOAT", "f4"),
        ("DOUBLE", "f8"),
    ],
)
def test_every_type_in_either_byte_order(tmp_path: Path, kind: str, dtype: str, swapped: bool) -> None:
    voxels = np.arange(16 * 14 * 10).reshape(16, 14, 10) % 120
    stored = voxels.astype((">" if swapped else "<") + dtype)
    path = write_mhd(tmp_path / "a.mhd", stored, ElementType=f"MET_{kind}", BinaryDataByteOrderMSB=str(swapped))
    np.testing.assert_array_equal(read(path).voxels.numpy()[::-1, ::-1], voxels)


@pytest.mark.parametrize("compressed", ["False", "True"])
def test_header_and_voxels_in_one_file(tmp_path: Path, compressed: str) -> None:
    path = write_mhd(tmp_path / "a.mha", ElementDataFile="LOCAL", CompressedData=compressed)
    np.testing.assert_array_equal(read(path).voxels.numpy()[::-1, ::-1], chest())
    path.write_bytes(path.read_bytes() + b"\0")
    assert refusal(path) == "container.trailing"


def test_packed_voxels(tmp_path: Path) -> None:
    path = write_mhd(tmp_path / "a.mhd", CompressedData="True")
    np.testing.assert_array_equal(read(path).voxels.numpy()[::-1, ::-1], chest())
    assert told(path) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: data[:-1], "container.truncated"),
        (lambda data: data[: len(data) // 2], "container.truncated"),
        (lambda data: b"", "container.empty"),
        (lambda data: data + b"\0", "container.trailing"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 255]), "container.crc"),
        (lambda data: b"\0" + data[1:], "container.corrupt"),
        (lambda data: zlib.compress(zlib.decompress(data)[:-2]), "container.truncated"),
        (lambda data: zlib.compress(zlib.decompress(data) + b"\0\0"), "container.trailing"),
    ],
)
def test_damaged_packed_voxels(tmp_path: Path, change, code: str) -> None:
    path = write_mhd(tmp_path / "a.mhd", CompressedData="True")
    voxels = tmp_path / "a.raw"
    voxels.write_bytes(change(voxels.read_bytes()))
    assert refusal(path) == code
    assert told(path) == [code]


def test_the_packed_length_is_compared(tmp_path: Path) -> None:
    path = write_mhd(tmp_path / "a.mhd", CompressedData="True")
    num_bytes = (tmp_path / "a.raw").stat().st_size
    for declared, code in ((num_bytes + 1, "container.truncated"), (num_bytes - 1, "container.trailing")):
        write_mhd(path, CompressedData="True", CompressedDataSize=str(declared))
        assert refusal(path) == code
    write_mhd(path, CompressedData="True", CompressedDataSize=str(num_bytes))
    assert told(path) == []


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = write_mhd(tmp_path / "a.mhd", DimSize="600 512 512", CompressedData="True")
    assert refusal(path) == "container.bomb"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: data[:-1], "container.truncated"),
        (lambda data: data[:10], "container.truncated"),
        (lambda data: b"", "container.empty"),
        (lambda data: data + b"\0", "container.trailing"),
        (lambda data: data + data, "container.trailing"),
    ],
)
def test_voxels_of_another_length(tmp_path: Path, change, code: str) -> None:
    path = write_mhd(tmp_path / "a.mhd")
    voxels = tmp_path / "a.raw"
    voxels.write_bytes(change(voxels.read_bytes()))
    assert refusal(path) == code
    assert told(path) == [code]


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("ObjectType", "Tube", "header.invalid"),
        ("BinaryData", "False", "header.invalid"),
        ("HeaderSize", "-1", "header.invalid"),
        ("CompressedData", "Yes", "header.invalid"),
        ("NDims", "4", "content.not_3d"),
        ("NDims", None, "content.not_3d"),
        ("ElementNumberOfChannels", "3", "content.not_3d"),
        ("ElementType", "MET_LONG", "header.datatype"),
        ("ElementType", None, "header.datatype"),
        ("DimSize", "16 14", "header.invalid"),
        ("DimSize", "16 14 9.5", "header.invalid"),
        ("DimSize", "16 14 0", "header.dims"),
        ("DimSize", "16 -14 -10", "header.dims"),
        ("DimSize", "9999 9999 9999", "header.dims_huge"),
        ("DimSize", "512 512 600", "container.truncated"),
        ("ElementSpacing", None, "header.pixdim"),
        ("ElementSpacing", "3 0 5", "header.pixdim"),
        ("ElementSpacing", "3 -3 5", "header.pixdim"),
        ("ElementSpacing", "3 nan 5", "header.pixdim"),
        ("ElementSpacing", "3 1e200 5", "header.affine"),
        ("ElementSpacing", "0.003 0.003 5", "header.spacing"),
        ("TransformMatrix", None, "header.no_orientation"),
        ("TransformMatrix", "1 0 0 0 1 0", "header.affine"),
        ("TransformMatrix", "1 0 0 0 2 0 0 0 1", "header.affine"),
        ("TransformMatrix", "1 0 0 1 0 0 0 0 1", "header.affine"),
        ("TransformMatrix", "1 0 0 0 1 0 0 0.2588 0.9659", "header.sheared"),
        ("Offset", None, "header.invalid"),
        ("Offset", "0 inf 0", "header.invalid"),
        ("ElementDataFile", "b.raw", "container.missing"),
        ("ElementDataFile", "../a.raw", "safety.outside"),
        ("ElementDataFile", "/etc/passwd", "safety.outside"),
        ("ElementDataFile", "..\\a.raw", "safety.outside"),
        ("ElementDataFile", "..", "safety.outside"),
        ("ElementDataFile", "LIST", "header.invalid"),
        ("ElementDataFile", "a%03d.raw 1 10 1", "header.invalid"),
    ],
)
def test_a_header_that_cannot_be_followed(tmp_path: Path, key: str, value: str | None, code: str) -> None:
    path = write_mhd(tmp_path / "a.mhd", **{key: value})
    assert refusal(path) == code
    assert code in told(path)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "container.empty"),
        (b"ObjectType = Image\nNDims = 3\n", "container.truncated"),
        (b"\x89PNG\r\n", "container.format"),
        (b"a = b\n", "container.format"),
        (b"<html>", "container.html"),
        (b"ObjectType = Image\nNDims = 3\nNDims = 2\n", "header.invalid"),
        (b"NDims = 3\nElementDataFile = a.raw\nDimSize = 1 1 1\n", "container.trailing"),
    ],
)
def test_what_is_no_header(tmp_path: Path, text: bytes, code: str) -> None:
    path = write_mhd(tmp_path / "a.mhd")
    path.write_bytes(text)
    assert refusal(path) == code


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write_mhd(tmp_path / "outside.mhd")
    folder = tmp_path / "root"
    path = write_mhd(folder / "a.mhd")
    (folder / "a.raw").unlink()
    (folder / "a.raw").symlink_to(tmp_path / "outside.raw")
    assert refusal(path) == "safety.outside"
    (folder / "b.mhd").symlink_to(tmp_path / "outside.mhd")
    assert refusal(folder / "b.mhd") == "safety.outside"


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    voxels = chest().astype(np.float64)
    for strange in (np.nan, 1e300):
        voxels[3, 4, 5] = strange
        path = write_mhd(tmp_path / "a.mhd", voxels, ElementType="MET_DOUBLE")
        assert refusal(path) == "content.not_finite"


def test_large_whole_numbers_are_kept_as_float(tmp_path: Path) -> None:
    volume = read(
        write_mhd(tmp_path / "a.mhd", with_landmark(chest().astype(np.int32), (0, 0, 0), 40000), ElementType="MET_INT")
    )
    assert float(volume.voxels.max()) == 40000
