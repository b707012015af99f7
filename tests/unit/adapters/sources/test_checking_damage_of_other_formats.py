"""`simcrop data check` names what is wrong with MetaImage and NRRD, as it does with NIfTI."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.content_damage import CONTENT
from support.damage import AFFINE, synthetic_chest
from support.volume_formats import OTHERS, data_file, unpack, write_as

from simcrop.adapters.sources.checking import check_folder

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 390881\n"
Change = Callable[[bytes], bytes]


def found_in(folder: Path) -> dict[str, set[str]]:
    """File -> codes, of those that have any."""
    found: dict[str, set[str]] = {}
    for problem in check_folder(folder, folder.parent / "cache", workers=1).problems:
        found.setdefault(Path(problem.file).name, set()).add(problem.code)
    return found


def codes_in(folder: Path) -> set[str]:
    return set().union(*found_in(folder).values())


def flip(place: int, mask: int = 1) -> Change:
    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[place] ^= mask
        return bytes(changed)

    return change


def write(folder: Path, kind: str) -> tuple[Path, Path]:
    """A clean volume: its header's file, and that of its voxels."""
    name, is_packed = OTHERS[kind]
    path = write_as(folder / name, synthetic_chest(), AFFINE, is_packed=is_packed)
    return path, data_file(path, is_packed=is_packed)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"])
@pytest.mark.parametrize("kind", list(OTHERS))
def test_a_clean_volume_of_any_type_gives_nothing(tmp_path: Path, kind: str, dtype: str) -> None:
    name, is_packed = OTHERS[kind]
    hu = synthetic_chest().astype(np.float64)
    hu = hu / 8 if dtype == "i1" else np.abs(hu) / 5 if dtype == "u1" else hu + 1024 if dtype[0] == "u" else hu
    write_as(tmp_path / "data" / name, hu.astype(dtype), AFFINE, is_packed=is_packed)
    strange = {"content.raw_values", "content.eight_bit"} if dtype in {"i1", "u1", "u2", "u4"} else set()
    assert codes_in(tmp_path / "data") <= strange


CONTAINER: dict[str, tuple[Change, str]] = {
    "zero bytes": (lambda data: b"", "container.empty"),
    "half": (lambda data: data[: len(data) // 2], "container.truncated"),
    "last 9 bytes missing": (lambda data: data[:-9], "container.truncated"),
    "last byte missing": (lambda data: data[:-1], "container.truncated"),
    "web page": (lambda data: b"<!DOCTYPE html>\n<html>Log in</html>\n", "container.html"),
    "git LFS pointer": (lambda data: POINTER, "container.lfs_pointer"),
    "trailing garbage": (lambda data: data + b"garbage", "container.trailing"),
    "a slice too many": (lambda data: data + bytes(3200), "container.trailing"),
    "two downloads in one file": (lambda data: data + data, "container.trailing"),
}
PACKED: dict[str, tuple[Change, str]] = {
    "wrong checksum": (lambda data: flip(-6 if data.startswith(b"\x1f\x8b") else -3)(data), "container.crc"),
    "unknown compression": (lambda data: b"\0" + data[1:], "container.corrupt"),
    "invalid block": (lambda data: data[:10] + b"\xff" * 30 + data[40:], "container.corrupt"),
    "not packed": (unpack, "container.corrupt"),
}


def header_end(data: bytes) -> int:
    """Of a file that holds its voxels too."""
    last = b"LOCAL\n" if b"LOCAL\n" in data else b"\n\n"
    return data.index(last) + len(last)


@pytest.mark.parametrize("damage", list(CONTAINER))
@pytest.mark.parametrize("kind", list(OTHERS))
def test_damage_of_the_file_with_the_voxels(tmp_path: Path, kind: str, damage: str) -> None:
    _, voxels = write(tmp_path / "data", kind)
    change, code = CONTAINER[damage]
    voxels.write_bytes(change(voxels.read_bytes()))
    assert codes_in(tmp_path / "data") == {code}


@pytest.mark.parametrize("damage", list(PACKED))
@pytest.mark.parametrize("kind", [kind for kind, (_, is_packed) in OTHERS.items() if is_packed])
def test_damage_of_packed_voxels(tmp_path: Path, kind: str, damage: str) -> None:
    path, voxels = write(tmp_path / "data", kind)
    change, code = PACKED[damage]
    data = voxels.read_bytes()
    start = header_end(data) if path == voxels else 0
    voxels.write_bytes(data[:start] + change(data[start:]))
    assert codes_in(tmp_path / "data") == {code}


@pytest.mark.parametrize("kind", ["mhd", "mhd, packed", "nhdr", "nhdr, packed"])
def test_a_header_cut_off_or_without_its_voxels(tmp_path: Path, kind: str) -> None:
    path, voxels = write(tmp_path / "data", kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert codes_in(tmp_path / "data") == {"container.truncated"}
    path.write_bytes(b"")
    assert codes_in(tmp_path / "data") == {"container.empty"}
    path.write_bytes(whole)
    voxels.unlink()
    assert codes_in(tmp_path / "data") == {"container.missing"}
    voxels.mkdir()
    assert codes_in(tmp_path / "data") == {"container.unreadable"}


@pytest.mark.parametrize("kind", ["mha", "mha, packed", "nrrd", "nrrd, packed"])
def test_a_cut_anywhere_is_told(tmp_path: Path, kind: str) -> None:
    path, _ = write(tmp_path, kind)
    data = path.read_bytes()
    cuts = [*range(1, 24), *range(24, len(data), len(data) // 40), *range(len(data) - 12, len(data))]
    for cut in cuts:
        (tmp_path / f"data/cut_{cut}{path.suffix}").parent.mkdir(exist_ok=True)
        (tmp_path / f"data/cut_{cut}{path.suffix}").write_bytes(data[:cut])
    found = found_in(tmp_path / "data")
    assert len(found) == len(set(cuts))
    for name, codes in found.items():
        # Of the first letters alone nobody can say what they were to become.
        is_short = int(re.findall(r"\d+", name)[0]) <= 24
        assert len(codes) == 1
        assert codes <= {"container.truncated", *(["container.format"] if is_short else [])}


@pytest.mark.parametrize("kind", ["mha, packed", "nrrd, packed"])
def test_a_flipped_bit_among_the_packed_voxels_is_seen(tmp_path: Path, kind: str) -> None:
    path, _ = write(tmp_path, kind)
    data = path.read_bytes()
    (tmp_path / "data").mkdir()
    for place in range(1000, len(data) - 10, (len(data) - 1010) // 40):
        (tmp_path / f"data/flip_{place}{path.suffix}").write_bytes(flip(place, 1 << place % 8)(data))
    found = found_in(tmp_path / "data")
    damaged = {"container.corrupt", "container.crc", "container.truncated", "container.trailing"}
    assert len(found) >= 40
    assert all(codes <= damaged for codes in found.values())


METAIMAGE: dict[str, tuple[str, str, str]] = {
    "size zero": ("DimSize = 40", "DimSize = 0", "header.dims"),
    "size negative": ("DimSize = 40", "DimSize = -40", "header.dims"),
    "size no number": ("DimSize = 40", "DimSize = x", "header.invalid"),
    "sizes huge": ("DimSize = 40 40 24", "DimSize = 32767 32767 32767", "header.dims_huge"),
    "colours": ("NDims = 3", "NDims = 3\nElementNumberOfChannels = 3", "content.not_3d"),
    "unknown datatype": ("MET_SHORT", "MET_OTHER", "header.datatype"),
    "spacing zero": ("ElementSpacing = 8.0", "ElementSpacing = 0", "header.pixdim"),
    "spacing NaN": ("ElementSpacing = 8.0", "ElementSpacing = nan", "header.pixdim"),
    "spacing infinite": ("ElementSpacing = 8.0", "ElementSpacing = inf", "header.pixdim"),
    "spacing negative": ("ElementSpacing = 8.0", "ElementSpacing = -8", "header.pixdim"),
    "spacing huge": ("ElementSpacing = 8.0", "ElementSpacing = 1e6", "header.spacing"),
    "axes in one plane": ("TransformMatrix = 1.0 0.0", "TransformMatrix = 0.0 1.0", "header.affine"),
    "no axis": ("TransformMatrix = 1.0", "TransformMatrix = 0.0", "header.affine"),
    "axes NaN": ("TransformMatrix = 1.0", "TransformMatrix = nan", "header.affine"),
    "no axes": ("TransformMatrix", "TransformMatrx", "header.no_orientation"),
    "origin infinite": ("Offset = -160.0", "Offset = inf", "header.invalid"),
    "voxels outside": ("ElementDataFile = ", "ElementDataFile = ../", "safety.outside"),
}
NRRD: dict[str, tuple[str, str, str]] = {
    "size zero": ("sizes: 40", "sizes: 0", "header.dims"),
    "size negative": ("sizes: 40", "sizes: -40", "header.dims"),
    "size no number": ("sizes: 40", "sizes: x", "header.invalid"),
    "sizes huge": ("sizes: 40 40 24", "sizes: 32767 32767 32767", "header.dims_huge"),
    "colours": ("sizes: 40", "sizes: 3 40", "content.not_3d"),
    "unknown datatype": ("int16", "int17", "header.datatype"),
    "spacing zero": ("directions: (8.0", "directions: (0", "header.affine"),
    "spacing NaN": ("directions: (8.0", "directions: (nan", "header.affine"),
    "spacing infinite": ("directions: (8.0", "directions: (inf", "header.affine"),
    "spacing huge": ("directions: (8.0", "directions: (1e6", "header.spacing"),
    "spacing in centimetres": ("dimension", 'space units: "cm" "cm" "cm"\ndimension', "header.spacing"),
    "axes in one plane": ("directions: (8.0,0.0", "directions: (0.0,8.0", "header.affine"),
    "axes no numbers": ("directions: (8.0", "directions: (x", "header.invalid"),
    "no axes": ("space directions", "space direction", "header.no_orientation"),
    "no space": ("space: left", "space: heft", "header.no_orientation"),
    "origin infinite": ("origin: (-160.0", "origin: (inf", "header.affine"),
    "voxels outside": ("dimension", "data file: ../0.raw\ndimension", "safety.outside"),
}


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize(
    ("suffix", "damage"),
    [*((end, kind) for end in (".mha", ".mhd") for kind in METAIMAGE), *((".nrrd", kind) for kind in NRRD)],
)
def test_damage_of_a_header(tmp_path: Path, suffix: str, damage: str, is_packed: bool) -> None:
    path = write_as(tmp_path / f"data/0{suffix}", synthetic_chest(), AFFINE, is_packed=is_packed)
    before, after, code = (NRRD if suffix == ".nrrd" else METAIMAGE)[damage]
    data = path.read_bytes()
    assert data.count(before.encode()) == 1
    # A header that names another file may not go on.
    end = header_end(data) if "outside" in damage and suffix != ".mhd" else len(data)
    path.write_bytes(data[:end].replace(before.encode(), after.encode()))
    assert codes_in(tmp_path / "data") - {"content.field_of_view"} == {code}


def test_a_tiny_file_that_claims_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    for kind in ("mha, packed", "mhd, packed", "nrrd, packed"):
        path, _ = write(tmp_path / "data", kind)
        path.write_bytes(path.read_bytes().replace(b" 40 40 24\n", b" 1290 1290 1290\n"))
    assert found_in(tmp_path / "data") == {name: {"container.bomb"} for name in ("0.mha", "0.zraw", "0.nrrd")}


@pytest.mark.parametrize("name", ["0.mha", "0.mhd", "0.nrrd", "0.nhdr"])
@pytest.mark.parametrize("damage", [kind for kind in CONTENT if "by the header" not in kind])
def test_damage_of_the_content(tmp_path: Path, damage: str, name: str) -> None:
    change, expected = CONTENT[damage]
    change(tmp_path / "data" / name)
    assert codes_in(tmp_path / "data") == expected


def test_a_sheared_affine_is_told(tmp_path: Path) -> None:
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.8
    for name in ("0.mha", "0.nrrd"):
        write_as(tmp_path / "data" / name, synthetic_chest(), sheared)
    assert {name: codes - {"set.duplicate"} for name, codes in found_in(tmp_path / "data").items()} == {
        "0.mha": {"header.sheared"},
        "0.nrrd": {"header.sheared"},
    }
