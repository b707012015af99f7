"""Arrays that are kept: what is read of them, what makes one current, and what stands outside."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from simcrop.adapters.loading.kept_arrays import KeptArrays, array_name, new_index
from simcrop.adapters.loading.storage import Raw
from simcrop.adapters.system.cache_folder import append_row
from simcrop.core.data.augment import AIR_HU
from simcrop.core.errors import DataError

SIZE = (5, 4, 3)
VOXELS = np.arange(60, dtype=np.int16).reshape(SIZE)


class _Empty(KeptArrays):
    air = 7


def _kept(folder: Path, source: object = "stamp", kind: type[KeptArrays] = KeptArrays) -> KeptArrays:
    written = KeptArrays(folder, SIZE, Raw()).write("a", VOXELS)
    append_row(new_index(folder), {"name": "a", "source": source, **written})
    return kind(folder, SIZE, Raw())


@pytest.mark.parametrize(("kind", "air"), [(KeptArrays, AIR_HU), (_Empty, 7)])
def test_a_box_is_that_of_the_array_with_air_around_it(tmp_path: Path, kind: type[KeptArrays], air: int) -> None:
    box = torch.empty((3, 2, 2), dtype=torch.int16)
    _kept(tmp_path, kind=kind).read_box("a", (-1, 1, 0), box)
    assert (box[0] == air).all()
    assert torch.equal(box[1:], torch.from_numpy(VOXELS[:2, 1:3, :2]))


def test_an_array_is_current_while_its_source_and_its_file_are_as_they_were(tmp_path: Path) -> None:
    kept = _kept(tmp_path, source=["a.nii.gz", 3])
    assert kept.is_current("a", ["a.nii.gz", 3])
    assert not kept.is_current("a", ["a.nii.gz", 4])
    assert not kept.is_current("b", ["a.nii.gz", 3])
    kept.array_file("a").write_bytes(b"cut off")
    assert not kept.is_current("a", ["a.nii.gz", 3])


def test_an_array_without_a_line_does_not_exist(tmp_path: Path) -> None:
    kept = KeptArrays(tmp_path, SIZE, Raw())
    kept.write("a", VOXELS)
    with pytest.raises(DataError, match=r"holds no volume a; run simcrop data prepare$"):
        kept.read_box("a", (0, 0, 0), torch.empty(SIZE, dtype=torch.int16))


FAR = 4_070_908_800
"""The first second of 2099."""


@pytest.mark.parametrize(("first_time", "second_time"), [(0, FAR), (FAR, 0)])
def test_the_line_of_the_array_counts_whatever_the_times_of_the_index_files(
    tmp_path: Path, first_time: int, second_time: int
) -> None:
    first, second = _replaced(tmp_path)
    os.utime(first, (first_time, first_time))
    os.utime(second, (second_time, second_time))
    again = KeptArrays(tmp_path, SIZE, Raw())
    assert again.is_current("a", "later")
    box = torch.empty(SIZE, dtype=torch.int16)
    again.read_box("a", (0, 0, 0), box)
    assert torch.equal(box, torch.from_numpy(VOXELS + 1))


def test_a_scan_that_was_put_back_is_made_again(tmp_path: Path) -> None:
    _replaced(tmp_path)
    assert not KeptArrays(tmp_path, SIZE, Raw()).is_current("a", "stamp"), "the array is that of the later scan"


def test_an_array_of_several_lines_that_has_the_checksum_of_none_is_made_again(tmp_path: Path) -> None:
    _replaced(tmp_path)
    kept = KeptArrays(tmp_path, SIZE, Raw())
    kept.write("a", VOXELS + 2)
    assert not kept.is_current("a", "later")
    with pytest.raises(DataError, match=r"is damaged .* delete it and run simcrop data prepare$"):
        kept.read_box("a", (0, 0, 0), torch.empty(SIZE, dtype=torch.int16))


def _replaced(folder: Path) -> tuple[Path, Path]:
    """An array that was made of a later scan too: its index files."""
    _kept(folder)
    [first] = folder.glob("index_*.jsonl")
    written = KeptArrays(folder, SIZE, Raw()).write("a", VOXELS + 1)
    second = new_index(folder)
    append_row(second, {"name": "a", "source": "later", **written})
    return first, second


def test_names_that_had_to_be_changed_stay_apart() -> None:
    names = [array_name(name) for name in ("a_b", "a/b", "a b", "a\\b")]
    assert len(set(names)) == 4
    assert names[0] == "a_b.npy"
