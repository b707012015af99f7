"""Both ways to keep voxels: any part comes back as it was, no damage passes, and one is never taken for the other."""

import builtins
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data_folders import write_ct_rate

from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.loading.resample import Grid
from simcrop.adapters.loading.storage import DamagedError, StorageName, storage_named
from simcrop.adapters.problems.verdicts import source_stamp
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.core.data.augment import crop, crop_centre
from simcrop.core.errors import ConfigError, DataError

pytest.importorskip("blosc2")
BOTH: tuple[StorageName, ...] = ("raw", "blosc2")
NAMES = [f"train_{patient}_a_1" for patient in range(1, 4)]
GRID = Grid((2.0, 2.0, 2.0), (37, 40, 33))
"""Of 3 x 2 chunks along x and y, the last of them smaller."""


def voxels_of(size: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Smooth where it is low, noise where it is high, with both ends of int16 in it."""
    draw = np.random.default_rng(seed)
    voxels = draw.integers(-1024, 3071, size).astype(np.int16)
    voxels[: size[0] // 2] = -1000
    voxels.flat[0], voxels.flat[-1] = -32768, 32767
    return voxels


@st.composite
def parts(draw: Any) -> tuple[tuple[int, int, int], tuple[slice, ...]]:
    size = draw(st.tuples(st.integers(1, 40), st.integers(1, 70), st.integers(1, 140)))
    lows = [draw(st.integers(0, n - 1)) for n in size]
    return size, tuple(slice(low, draw(st.integers(low + 1, n))) for low, n in zip(lows, size, strict=True))


@settings(max_examples=60)
@given(parts())
def test_any_part_of_any_volume_comes_back(tmp_path_factory: pytest.TempPathFactory, where: Any) -> None:
    size, part = where
    voxels, path = voxels_of(size), tmp_path_factory.mktemp("storage") / "file"
    for name in BOTH:
        storage = storage_named(name)
        with path.open("wb") as file:
            checksum = storage.write(file, voxels)
        stored = storage.open(path, size)
        assert stored.checksum() == checksum
        into = torch.full([2 + axis.stop - axis.start for axis in part], 77, dtype=torch.int16)
        stored.copy_part(part, into[1:-1, 1:-1, 1:-1])
        assert np.array_equal(into[1:-1, 1:-1, 1:-1].numpy(), voxels[part])
        assert int((into != 77).sum()) <= voxels[part].size, "nothing beside the part is written"
        assert np.array_equal(stored.whole().numpy(), voxels)


@pytest.fixture
def source(tmp_path: Path) -> CTRateSource:
    write_ct_rate(tmp_path / "data", NAMES)
    return CTRateSource(tmp_path / "data")


def prepared_as(storage: StorageName, source: CTRateSource, cache: Path) -> PreparedVolumes:
    return prepare(source, source.studies(), GRID, cache, storage=storage)


def test_both_hold_the_same_voxels(source: CTRateSource, tmp_path: Path) -> None:
    raw, small = (prepared_as(name, source, tmp_path / "cache") for name in BOTH)
    box = torch.empty(40, 20, 10, dtype=torch.int16)
    for name in NAMES:
        voxels = raw.read(name)
        assert torch.equal(small.read(name), voxels)
        assert torch.equal(small.affine(name), raw.affine(name))
        assert torch.equal(small.read_centre(name, (20, 44, 8)), crop_centre(voxels, (20, 44, 8)))
        for pad in ("air", "reflect"):
            small.read_box(name, (-2, 25, 30), box, pad=pad)
            assert torch.equal(box, crop(voxels, (-2, 25, 30), (40, 20, 10), pad=pad))
        assert small.array_file(name).stat().st_size < raw.array_file(name).stat().st_size


def test_another_storage_is_prepared_anew_and_leaves_the_first_alone(source: CTRateSource, tmp_path: Path) -> None:
    raw = prepared_as("raw", source, tmp_path)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in raw.folder.iterdir()}
    small = PreparedVolumes(source, GRID, tmp_path, "blosc2")
    assert not small.is_current(NAMES[0], source_stamp(source, NAMES[0]))
    small = prepared_as("blosc2", source, tmp_path)
    assert small.is_current(NAMES[0], source_stamp(source, NAMES[0]))
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in raw.folder.iterdir()} == before
    assert prepared_as("raw", source, tmp_path).is_current(NAMES[0], source_stamp(source, NAMES[0]))


@pytest.mark.parametrize("storage", BOTH)
def test_no_flipped_byte_and_no_cut_passes(source: CTRateSource, tmp_path: Path, storage: StorageName) -> None:
    path = prepared_as(storage, source, tmp_path).array_file(NAMES[0])
    whole, draw = path.read_bytes(), random.Random(0)
    # Of an .npy file only the voxels are covered; its header says the same in spite of a few of its bytes.
    first = 0 if storage == "blosc2" else 128
    places = [*range(first, first + 100), *draw.sample(range(first, len(whole)), 200), len(whole) - 1]
    damaged = [whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :] for place in places]
    damaged += [whole[:length] for length in (0, 1, 50, 128, 1000, len(whole) // 2, len(whole) - 1)]
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(DataError, match=rf"^{path}: (is damaged|cannot be read) .*delete it and run simcrop data"):
            PreparedVolumes(source, GRID, tmp_path, storage).read(NAMES[0])


def test_damage_after_the_first_read_never_gives_other_voxels(source: CTRateSource, tmp_path: Path) -> None:
    prepared = prepared_as("blosc2", source, tmp_path)
    voxels = prepared.read(NAMES[0])
    path, table_bytes = prepared.array_file(NAMES[0]), 6 * 16
    whole, found = path.read_bytes(), 0
    places = [*range(table_bytes), *range(table_bytes, len(whole), 97)]
    damaged = [whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :] for place in places]
    damaged += [whole[:length] for length in (0, 1, table_bytes, len(whole) - 1)]
    for data in damaged:
        path.write_bytes(data)
        try:
            assert torch.equal(prepared.read(NAMES[0]), voxels)
        except DataError:
            found += 1
    # A last chunk that claims to be longer than the file is still the whole of it.
    assert len(damaged) - 4 <= found < len(damaged)


def test_a_part_is_decoded_without_the_rest(tmp_path: Path) -> None:
    voxels, path, storage = voxels_of((64, 64, 128)), tmp_path / "file", storage_named("blosc2")
    with path.open("wb") as file:
        storage.write(file, voxels)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # in the chunk at the far end
    path.write_bytes(data)
    stored = storage.open(path, (64, 64, 128))
    into = torch.empty(48, 64, 128, dtype=torch.int16)
    stored.copy_part((slice(0, 48), slice(0, 64), slice(0, 128)), into)
    assert np.array_equal(into.numpy(), voxels[:48])
    with pytest.raises(DamagedError):
        stored.whole()


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, *more: Any) -> Any:
        if name == "blosc2":
            raise ImportError(name)
        return real(name, *more)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError, match=r"^data\.storage: blosc2 .*pip install 'simcrop\[blosc2\]', or write raw$"):
        storage_named("blosc2")
    storage_named("raw")
