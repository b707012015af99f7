"""From stored numbers to HU: nothing is lost, and what is no volume is refused."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from support.data_folders import AFFINE, chest

from simcrop.adapters.formats.stored import (
    Header,
    StoredVolume,
    check_shape,
    hu_dtype,
    inspect_stored,
    read_stored,
    stored_behind,
)
from simcrop.core.data.problems import BadFileError, Problem

PATH = Path("a.bin")
PAIR = np.array([[[1, -2]]], np.int16)


@contextmanager
def opening(voxels: np.ndarray, scaling: tuple[float, float] = (1.0, 0.0), order: str = "C") -> Generator[StoredVolume]:
    """The voxels in two parts."""
    flat = voxels.ravel(order="F" if order == "F" else "C")
    parts: Iterator[np.ndarray] = iter([flat[:1], flat[1:]])
    x, y, z = voxels.shape
    yield StoredVolume((x, y, z), voxels.dtype, np.eye(4), parts, "F" if order == "F" else "C", scaling)


@pytest.mark.parametrize(
    ("dtype", "scaling", "expected", "kept"),
    [
        ("i2", (1, 0), [1, -2], torch.int16),
        (">i2", (1, 0), [1, -2], torch.int16),
        ("f8", (1, 0), [1, -2], torch.float32),
        ("i2", (2, -10), [-8, -14], torch.int16),
        ("i2", (0.5, 0), [0.5, -1], torch.float32),
        ("i2", (40000, 0), [40000, -80000], torch.float32),
        ("i8", (2**40, 0), [2.0**40, -(2.0**41)], torch.float32),
    ],
)
def test_scaled_numbers_are_whole_where_that_loses_nothing(
    dtype: str, scaling: tuple[float, float], expected: list[float], kept: torch.dtype
) -> None:
    voxels = read_stored(PATH, opening(PAIR.astype(dtype), scaling)).voxels
    assert voxels.dtype == kept
    assert voxels.flatten().tolist() == expected


def test_the_order_of_the_parts_is_that_of_the_file() -> None:
    for order in "CF":
        assert np.array_equal(read_stored(PATH, opening(chest(), order=order)).voxels.numpy(), chest())


def test_what_overflows_or_is_no_number_is_refused() -> None:
    for voxels, scaling in ((PAIR, (4e38, 0)), (PAIR * np.float32("nan"), (1, 0)), (PAIR * 1e300, (1, 0))):
        with pytest.raises(BadFileError, match="2 NaN or infinite voxels"):
            read_stored(PATH, opening(voxels, scaling))


def test_padding_is_air_in_hu() -> None:
    assert read_stored(PATH, opening(PAIR, (2, -10)), padding_value=-14).voxels.flatten().tolist() == [-8, -1000]


def test_an_inspection_judges_hu_and_hashes_what_is_stored() -> None:
    told: list[Problem] = []
    first = inspect_stored(PATH, opening(chest()), told.append)
    second = inspect_stored(PATH, opening(chest(), (1, -1024)), told.append)
    assert first == second != inspect_stored(PATH, opening(chest(1)), told.append)
    assert "content.hu_twice" in [found.code for found in told]
    told.clear()
    inspect_stored(PATH, opening(chest(), (1, -1024)), told.append, expects_hu=False)
    assert {found.code for found in told} == {"content.field_of_view"}


def test_a_file_that_cannot_be_opened_is_told_and_has_no_hash() -> None:
    @contextmanager
    def broken() -> Generator[StoredVolume]:
        raise BadFileError(Problem("a.bin", "container.crc", "is damaged"))
        yield

    told: list[Problem] = []
    assert inspect_stored(PATH, broken(), told.append) is None
    assert [found.code for found in told] == ["container.crc"]


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        ((3, 4), "content.not_3d"),
        ((3, 4, 5, 2), "content.not_3d"),
        ((3, 0, 5), "header.dims"),
        ((3, 4, -5), "header.dims"),
        ((2**31, 1, 2), "header.dims_huge"),
        ((2**62, 2**62, 2**62), "header.dims_huge"),
    ],
)
def test_a_shape_of_no_volume_is_refused(shape: tuple[int, ...], code: str) -> None:
    with pytest.raises(BadFileError) as refused:
        check_shape(PATH, shape)
    assert refused.value.problem.code == code
    assert check_shape(PATH, (3, 4, 5)) == (3, 4, 5)


def test_voxels_behind_a_header_are_read_to_the_end_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"head" + PAIR.tobytes())
    header = Header((1, 1, 2), PAIR.dtype, AFFINE, path, 4)
    assert header.num_bytes == 4
    for start in (b"", b"head", b"head\1"):
        with path.open("rb") as file:
            file.seek(len(start) or 4)
            assert np.concatenate(list(stored_behind(header, file, start).chunks)).tolist() == [1, -2]
    path.write_bytes(path.read_bytes() + b"\0")
    with path.open("rb") as file, pytest.raises(BadFileError, match="holds more than the 8 bytes"):
        list(stored_behind(header, file, file.read(4)).chunks)


@pytest.mark.parametrize(("scaling", "dtype"), [((1, -1024), "i4"), ((0.5, 0), "f4"), ((2**11, 0), "f4")])
def test_the_type_of_hu(scaling: tuple[float, float], dtype: str) -> None:
    assert hu_dtype(*scaling) == np.dtype(dtype)
