"""Voxels behind a header in text: where they may lie, and how little of them is held at once."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
from support.data_folders import AFFINE

from simcrop.adapters.formats.stored import Header
from simcrop.adapters.formats.text_header import Parse, data_file, opened_behind
from simcrop.core.data.problems import BadFileError, refuse

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (128, 128, 128)).astype(np.int16)
DATA = VOXELS.tobytes(order="F")
PACK = {"raw": bytes, "zlib": lambda data: zlib.compress(data, 1), "gzip": lambda data: gzip.compress(data, 1)}


def parse(packing: str, voxels: Path, offset: int, packed_bytes: int | None = None) -> Parse:
    return lambda path, start, on_problem: Header(
        VOXELS.shape, VOXELS.dtype, AFFINE, voxels, offset, packing=packing, packed_bytes=packed_bytes
    )


@pytest.mark.parametrize("packing", list(PACK))
@pytest.mark.parametrize("offset", [0, 7])
def test_voxels_come_in_parts_of_a_megabyte_at_most(tmp_path: Path, packing: str, offset: int) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"text = "[:offset] + PACK[packing](DATA))
    (tmp_path / "a.txt").write_text("header")
    with opened_behind(parse(packing, path, offset), tmp_path / "a.txt", refuse, tmp_path) as stored:
        parts = [part.copy() for part in stored.chunks]
    assert max(part.nbytes for part in parts) <= 1 << 20
    assert np.array_equal(np.concatenate(parts).reshape(stored.shape, order=stored.order), VOXELS)


@pytest.mark.parametrize("packing", ["zlib", "gzip"])
@pytest.mark.parametrize(("more", "code"), [(1, "container.truncated"), (-1, "container.trailing")])
def test_a_declared_length_is_compared_before_anything_is_unpacked(
    tmp_path: Path, packing: str, more: int, code: str
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"no packed data")
    with (
        pytest.raises(BadFileError) as refused,
        opened_behind(parse(packing, path, 2, 12 + more), path, refuse, None),
    ):
        pass
    assert refused.value.problem.code == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "safety.outside"),
        (".", "safety.outside"),
        ("..", "safety.outside"),
        ("../a.raw", "safety.outside"),
        ("/a.raw", "safety.outside"),
        ("sub/a.raw", "safety.outside"),
        ("sub\\a.raw", "safety.outside"),
        ("LIST", "header.invalid"),
        ("a%d.raw 1 9 1", "header.invalid"),
    ],
)
def test_only_one_file_of_the_same_folder_may_hold_the_voxels(tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(BadFileError) as refused:
        data_file(tmp_path / "a.mhd", "ElementDataFile", name)
    assert refused.value.problem.code == code
    assert data_file(tmp_path / "a.mhd", "ElementDataFile", "b..raw") == tmp_path / "b..raw"


def test_links_out_of_the_folder_are_followed_only_without_one(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "voxels").write_bytes(DATA)
    link, header = tmp_path / "root/voxels", tmp_path / "root/a.bin"
    header.write_text("header")
    link.symlink_to(tmp_path / "voxels")
    with opened_behind(parse("raw", link, 0), header, refuse, None) as stored:
        assert sum(part.size for part in stored.chunks) == VOXELS.size
    with (
        pytest.raises(BadFileError, match="outside"),
        opened_behind(parse("raw", link, 0), header, refuse, tmp_path / "root"),
    ):
        pass
