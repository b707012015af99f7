"""NRRD: spaces, numbers, lengths, packing, and headers that are not to be followed."""

import gzip
from pathlib import Path

import nrrd
import numpy as np
import pytest
from support.data_folders import chest
from support.landmarks import found_at, is_ras, with_landmark
from support.nrrds import write_nrrd

from simcrop.adapters.formats.nrrd import opened_nrrd
from simcrop.adapters.formats.stored import inspect_stored, read_stored
from simcrop.core.data.problems import BadFileError, Problem, refuse
from simcrop.core.data.study import Volume

LPS, RAS, LAS = "left-posterior-superior", "right-anterior-superior", "left-anterior-superior"


def read(path: Path) -> Volume:
    return read_stored(path, opened_nrrd(path, refuse, path.parent))


def told(path: Path) -> list[str]:
    problems: list[Problem] = []
    inspect_stored(path, opened_nrrd(path, problems.append, path.parent), problems.append)
    return [found.code for found in problems if found.severity == "error"]


def refusal(path: Path) -> str:
    with pytest.raises(BadFileError) as refused:
        read(path)
    assert "\n" not in str(refused.value)
    return refused.value.problem.code


def test_voxels_and_spacing_are_read(tmp_path: Path) -> None:
    path = write_nrrd(tmp_path / "a.nrrd")
    volume = read(path)
    assert volume.spacing_mm == (3, 2, 5)
    # The file counts to the left and to the back.
    np.testing.assert_array_equal(volume.voxels.numpy(), chest()[::-1, ::-1])
    assert told(path) == []


@pytest.mark.parametrize(
    ("space", "world_mm"),
    [
        (LPS, [-45, -26, 0]),
        ("LPS", [-45, -26, 0]),
        (RAS, [45, 26, 0]),
        ("ras", [45, 26, 0]),
        (LAS, [-45, 26, 0]),
        ("LAS", [-45, 26, 0]),
    ],
)
def test_a_landmark_comes_out_at_its_place_in_every_space(tmp_path: Path, space: str, world_mm: list[float]) -> None:
    voxels = with_landmark(chest(), (15, 13, 0))
    volume = read(write_nrrd(tmp_path / "a.nrrd", voxels, space=space, space_origin="(0,0,0)"))
    assert found_at(volume) == world_mm
    assert is_ras(volume)


def test_each_vector_is_the_direction_of_one_axis(tmp_path: Path) -> None:
    # x of the file runs to the back, y to the head, z to the left.
    voxels = with_landmark(chest(), (15, 0, 9))
    directions = {"space_directions": "(0,3,0) (0,0,2) (5,0,0)", "space_origin": "(1,0,0)"}
    volume = read(write_nrrd(tmp_path / "a.nrrd", voxels, **directions))
    assert found_at(volume) == [-46, -45, 0]
    assert is_ras(volume)
    assert volume.spacing_mm == (5, 3, 2)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "gz"])
@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr"])
def test_voxels_behind_the_header_or_beside_it(tmp_path: Path, name: str, encoding: str) -> None:
    beside = {"data_file": "a.raw.gz" if encoding != "raw" else "a.raw"} if name == "a.nhdr" else {}
    path = write_nrrd(tmp_path / name, encoding=encoding, **beside)
    np.testing.assert_array_equal(read(path).voxels.numpy()[::-1, ::-1], chest())
    assert told(path) == []


def test_what_pynrrd_writes_is_read(tmp_path: Path) -> None:
    header = {"space": LPS, "space directions": np.diag([3.0, 2, 5]), "space origin": [0, 0, 0]}
    for encoding in ("raw", "gzip"):
        for name in ("a.nrrd", "b.nhdr"):
            nrrd.write(str(tmp_path / name), chest(), header | {"encoding": encoding})
            np.testing.assert_array_equal(read(tmp_path / name).voxels.numpy()[::-1, ::-1], chest())


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("int8", "i1"),
        ("uchar", "u1"),
        ("short", "i2"),
        ("unsigned short", "u2"),
        ("int", "i4"),
        ("uint32_t", "u4"),
        ("long long", "i8"),
        ("uint64", "u8"),
        ("float", "f4"),
        ("double", "f8"),
    ],
)
def test_every_type_in_either_byte_order(tmp_path: Path, kind: str, dtype: str, order: str) -> None:
    voxels = np.arange(16 * 14 * 10).reshape(16, 14, 10) % 120
    stored = voxels.astype((">" if order == "big" else "<") + dtype)
    endian = None if dtype.endswith("1") else order
    path = write_nrrd(tmp_path / "a.nrrd", stored, type=kind, endian=endian)
    np.testing.assert_array_equal(read(path).voxels.numpy()[::-1, ::-1], voxels)


@pytest.mark.parametrize("is_beside", [False, True])
@pytest.mark.parametrize(
    ("encoding", "change", "code"),
    [
        ("raw", lambda data: data[:-1], "container.truncated"),
        ("raw", lambda data: data[: len(data) // 2], "container.truncated"),
        ("raw", lambda data: data + b"\0", "container.trailing"),
        ("raw", lambda data: data + data, "container.trailing"),
        ("gzip", lambda data: b"", "container.truncated"),
        ("gzip", lambda data: data[:1], "container.truncated"),
        ("gzip", lambda data: data[:-1], "container.truncated"),
        ("gzip", lambda data: data[:-8], "container.truncated"),
        ("gzip", lambda data: data[: len(data) // 2], "container.truncated"),
        ("gzip", lambda data: data + b"\0", "container.trailing"),
        ("gzip", lambda data: data + data, "container.trailing"),
        ("gzip", lambda data: data[:-1] + bytes([data[-1] ^ 255]), "container.crc"),
        ("gzip", lambda data: data[:-6] + bytes([data[-6] ^ 1]) + data[-5:], "container.crc"),
        ("gzip", lambda data: data[:10] + b"\xff" * 30 + data[40:], "container.corrupt"),
        ("gzip", gzip.decompress, "container.corrupt"),
        ("gzip", lambda data: gzip.compress(gzip.decompress(data)[:-2]), "container.truncated"),
        ("gzip", lambda data: gzip.compress(gzip.decompress(data) + b"\0\0"), "container.trailing"),
    ],
)
def test_damaged_voxels(tmp_path: Path, encoding: str, change, code: str, is_beside: bool) -> None:
    path = write_nrrd(tmp_path / "a.nhdr", encoding=encoding, data_file="a.bin")
    voxels = change((tmp_path / "a.bin").read_bytes())
    if is_beside:
        (tmp_path / "a.bin").write_bytes(voxels)
    else:
        path = write_nrrd(tmp_path / "a.nrrd", encoding=encoding)
        path.write_bytes(path.read_bytes().partition(b"\n\n")[0] + b"\n\n" + voxels)
    expected = "container.empty" if is_beside and not voxels else code
    assert refusal(path) == expected
    assert told(path) == [expected]


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    assert refusal(write_nrrd(tmp_path / "a.nrrd", sizes="600 512 512", encoding="gzip")) == "container.bomb"


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("dimension", "4", "content.not_3d"),
        ("dimension", "three", "header.invalid"),
        ("dimension", None, "header.invalid"),
        ("sizes", "16 14", "content.not_3d"),
        ("sizes", "16 14 9.5", "container.trailing"),
        ("sizes", "16 14 0", "header.dims"),
        ("sizes", "16 -14 -10", "header.dims"),
        ("sizes", "16 14 1e999", "header.dims"),
        ("sizes", "nan 14 10", "header.dims"),
        ("sizes", "9999 9999 9999", "header.dims_huge"),
        ("sizes", "512 512 600", "container.truncated"),
        ("sizes", "", "content.not_3d"),
        ("sizes", None, "header.invalid"),
        ("type", "block", "header.datatype"),
        ("type", None, "header.invalid"),
        ("endian", None, "header.invalid"),
        ("endian", "middle", "header.invalid"),
        ("encoding", "bzip2", "header.invalid"),
        ("encoding", "ascii", "header.invalid"),
        ("encoding", None, "header.invalid"),
        ("byte_skip", "-1", "header.invalid"),
        ("lineskip", "2", "header.invalid"),
        ("space", None, "header.no_orientation"),
        ("space", "scanner-xyz", "header.no_orientation"),
        ("space", "left-posterior-superior-time", "header.no_orientation"),
        ("space_directions", None, "header.no_orientation"),
        ("space_directions", "none (0,2,0) (0,0,5)", "header.affine"),
        ("space_directions", "(3,0) (0,2) (0,5)", "header.affine"),
        ("space_directions", "(3,0,0) (0,2,0) (0,0)", "header.invalid"),
        ("space_directions", "(3,0,0) (0,2,0) (0,0,nan)", "header.affine"),
        ("space_directions", "(3,0,0) (0,2,0) (0,0,1e200)", "header.affine"),
        ("space_directions", "(3,0,0) (3,0,0) (0,0,5)", "header.affine"),
        ("space_directions", "(3,0,0) (0,2,0) (0,2,5)", "header.sheared"),
        ("space_directions", "(.003,0,0) (0,.002,0) (0,0,5)", "header.spacing"),
        ("space_directions", "3 2 5", "header.invalid"),
        ("space_origin", None, "header.affine"),
        ("space_origin", "(0,inf,0)", "header.affine"),
        ("space_units", '"cm" "cm" "cm"', "header.spacing"),
        ("space_units", '"mm', "header.invalid"),
        ("space_units", '"mm" "mm" "mm"', None),
        ("kinds", None, None),
        ("data_file", "../a.raw", "safety.outside"),
        ("data_file", "/etc/passwd", "safety.outside"),
        ("datafile", "..\\a.raw", "safety.outside"),
        ("data_file", "..", "safety.outside"),
        ("data_file", "LIST", "header.invalid"),
        ("data_file", "a%03d.raw 1 10 1", "header.invalid"),
    ],
)
def test_a_header_that_cannot_be_followed(tmp_path: Path, key: str, value: str | None, code: str | None) -> None:
    path = write_nrrd(tmp_path / "a.nrrd")
    text, blank, data = path.read_bytes().partition(b"\n\n")
    name = key.replace("_", " ")
    lines = [line for line in text.decode().splitlines() if not line.startswith(f"{name}:")]
    lines += [] if value is None else [f"{name}: {value}"]
    path.write_bytes("\n".join(lines).encode() + blank + (b"" if "file" in key else data))
    assert told(path) == ([] if code is None else [code])
    if code is not None:
        assert refusal(path) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "container.empty"),
        (b"NRRD", "container.truncated"),
        (b"NRRD0004\ntype: short\ndimension: 3\n", "container.truncated"),
        (b"NRRD0004\ntype: short\ndimen", "container.truncated"),
        (b"NRRD0009\ntype: short\n\n", "header.invalid"),
        (b"NRRD0004\ntype: short\ntype: int\n\n", "header.invalid"),
        (b"NRRD0004\nno colon\n\n", "header.invalid"),
        (b"NRRD0004\n\n", "header.invalid"),
        (b"\x89PNG\r\n", "container.format"),
        (b"\x1f\x8b\x08\x00", "container.format"),
        (b"<html>", "container.html"),
        (b"NRRD0004\ndata file: b.raw\ntype: short\n\nmore", "container.trailing"),
    ],
)
def test_what_is_no_header(tmp_path: Path, text: bytes, code: str) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(text)
    assert refusal(path) == code
    assert told(path) == [code]


def test_a_header_of_its_own_may_end_with_its_file_and_lines_as_windows_ends_them(tmp_path: Path) -> None:
    path = write_nrrd(tmp_path / "a.nhdr", data_file="a.raw")
    path.write_bytes(b"# A comment.\nkey:=value: of anything\n".join(path.read_bytes().split(b"\n", 1)[:1]) + b"\n" +
                     path.read_bytes().split(b"\n", 1)[1])  # fmt: skip
    assert told(path) == []
    path = write_nrrd(tmp_path / "b.nrrd")
    text, _, data = path.read_bytes().partition(b"\n\n")
    path.write_bytes(text.replace(b"\n", b"\r\n# A comment.\r\nkey:=value\r\n", 1) + b"\r\n\r\n" + data)
    assert told(path) == []


def test_a_file_that_is_not_there_and_a_link_out_of_the_folder(tmp_path: Path) -> None:
    path = write_nrrd(tmp_path / "root/a.nhdr", data_file="a.raw")
    (tmp_path / "root/a.raw").rename(tmp_path / "a.raw")
    assert refusal(path) == "container.missing"
    (tmp_path / "root/a.raw").symlink_to(tmp_path / "a.raw")
    assert refusal(path) == "safety.outside"
    (tmp_path / "root/b.nrrd").symlink_to(write_nrrd(tmp_path / "b.nrrd"))
    assert refusal(tmp_path / "root/b.nrrd") == "safety.outside"


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    voxels = chest().astype(np.float64)
    for strange in (np.nan, 1e300):
        voxels[3, 4, 5] = strange
        assert refusal(write_nrrd(tmp_path / "a.nrrd", voxels, type="double")) == "content.not_finite"
