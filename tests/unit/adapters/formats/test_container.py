"""The bytes of a file: unpacked where its name says so, and as many as its header declares."""

import gzip
import io
import os
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simcrop.adapters.formats.container import header_size, is_named_gz, opened_bytes, voxel_chunks
from simcrop.core.data.problems import BadFileError

PLAIN = bytes(range(256)) * 8
PACKED = gzip.compress(PLAIN, mtime=0)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def refusal(path: Path, *, as_is: bool = False) -> str:
    with pytest.raises(BadFileError) as refused, opened_bytes(path, as_is=as_is) as file:
        file.read()
    return refused.value.problem.code


@pytest.mark.parametrize("name", ["a.bin", "a.gz", "A.GZ"])
def test_the_name_says_whether_gzip_packed_the_file(tmp_path: Path, name: str) -> None:
    is_packed = is_named_gz(Path(name))
    path = write(tmp_path / name, gzip.compress(PLAIN) if is_packed else PLAIN)
    with opened_bytes(path) as file:
        assert file.read() == PLAIN
    with opened_bytes(path, as_is=True) as file:
        assert file.read() == path.read_bytes()
    assert is_packed == (name != "a.bin")


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.gz", b"", "container.empty"),
        ("a.gz", b"\x1f", "container.truncated"),
        ("a.gz", gzip.compress(PLAIN, mtime=0)[:-1], "container.truncated"),
        ("a.gz", gzip.compress(PLAIN, mtime=0) + b"x", "container.trailing"),
        ("a.gz", PLAIN, "container.format"),
        ("a.gz", (348).to_bytes(4, "little") + PLAIN, "container.not_gzip"),
        ("a.bin", gzip.compress(PLAIN, mtime=0), "container.format"),
        ("a.bin", b"<html>", "container.html"),
        ("a.bin", b"\xef\xbb\xbf <!DOCTYPE html>", "container.html"),
        ("a.bin", b"version https://git-lfs.github.com/spec/v1", "container.lfs_pointer"),
    ],
)
def test_a_file_that_is_not_what_it_seems(tmp_path: Path, name: str, data: bytes, code: str) -> None:
    assert refusal(write(tmp_path / name, data)) == code


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe", as_is=True) == "container.unreadable"
    assert refusal(tmp_path) == "container.unreadable"
    assert refusal(tmp_path / "none") == "container.missing"


@example(at=3, new=b"\x06\x00\x00\x00\x00\x00\x00", dropped=3)
@example(at=3, new=b"\x02", dropped=1)
@example(at=3, new=b"\xe0", dropped=1)
@example(at=3, new=b"\x1f", dropped=1)
@given(at=st.integers(0, len(PACKED) - 1), new=st.binary(max_size=12), dropped=st.integers(0, 12))
def test_what_is_damaged_for_zlib_is_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, at: int, new: bytes, dropped: int
) -> None:
    data = PACKED[:at] + new + PACKED[at + dropped :]
    path = write(tmp_path_factory.mktemp("gz") / "a.gz", data)
    try:
        expected = gzip.decompress(data) if data else None
    except (OSError, EOFError, zlib.error):
        expected = None
    try:
        with opened_bytes(path) as stream:
            found = stream.read()
    except BadFileError:
        found = None
    assert found == expected


@pytest.mark.parametrize("start", [b"", b"head", b"head" + PLAIN[:3]])
@pytest.mark.parametrize(
    ("more", "code"), [(b"", None), (b"\0", "container.trailing"), ((348).to_bytes(4, "little"), "container.trailing")]
)
def test_voxels_end_with_the_file(start: bytes, more: bytes, code: str | None) -> None:
    stream = io.BytesIO((b"head" + PLAIN + more)[len(start) :])
    chunks = voxel_chunks(Path("a.bin"), stream, start, offset=4, num_bytes=len(PLAIN), item=8)
    if code is None:
        assert b"".join(chunks) == PLAIN
        return
    with pytest.raises(BadFileError) as refused:
        list(chunks)
    assert refused.value.problem.code == code


def test_chunks_hold_whole_numbers_and_no_more_than_is_declared() -> None:
    chunks = list(
        voxel_chunks(Path("a.bin"), io.BytesIO(bytes(3 << 20)), b"", offset=1, num_bytes=(3 << 20) - 1, item=1)
    )
    assert max(map(len, chunks)) <= 1 << 20
    with pytest.raises(BadFileError, match="ends after 7 of 8 bytes"):
        list(voxel_chunks(Path("a.bin"), io.BytesIO(bytes(7)), b"", offset=0, num_bytes=8, item=4))


@pytest.mark.parametrize(("number", "size"), [(348, 348), (540, 540), (384, None), (0, None)])
@pytest.mark.parametrize("order", ["little", "big"])
def test_the_first_number_tells_the_version(number: int, size: int | None, order: str) -> None:
    assert header_size(number.to_bytes(4, "little" if order == "little" else "big") + PLAIN) == size
