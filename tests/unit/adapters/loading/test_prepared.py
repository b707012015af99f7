"""The cache of prepared volumes: what is reused, what is made again, what is refused."""

import multiprocessing
import os
import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.data_folders import SHAPE, chest, write_ct_rate, write_table, write_truth, write_volume

from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.loading.resample import Grid, resample_mask, resample_volume
from simcrop.adapters.problems.verdicts import source_stamp
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.core.data.augment import crop, crop_centre
from simcrop.core.errors import DataError

NAMES = [f"train_{patient}_a_1" for patient in range(1, 6)]
GRID = Grid((4.0, 4.0, 8.0), (12, 12, 6))


@pytest.fixture
def source(tmp_path: Path) -> CTRateSource:
    write_ct_rate(tmp_path / "data", NAMES)
    return CTRateSource(tmp_path / "data")


def _prepare(source: CTRateSource, cache: Path, workers: int = 1) -> PreparedVolumes:
    return prepare(source, source.studies(), GRID, cache, workers=workers)


def test_prepared_volumes_are_the_resampled_ones(source: CTRateSource, tmp_path: Path) -> None:
    prepared = _prepare(source, tmp_path)
    for name in NAMES:
        voxels, affine = resample_volume(source.read_volume(name), GRID)
        assert torch.equal(prepared.read(name), voxels)
        torch.testing.assert_close(prepared.affine(name), affine)
        assert torch.equal(prepared.read_centre(name, (8, 14, 4)), crop_centre(voxels, (8, 14, 4)))


@pytest.mark.parametrize(
    "grid", [replace(GRID, spacing_mm=(4.0, 4.0, 7.0)), replace(GRID, size=(12, 12, 7))], ids=["spacing", "size"]
)
def test_another_grid_has_a_folder_of_its_own(source: CTRateSource, tmp_path: Path, grid: Grid) -> None:
    first = PreparedVolumes(source, GRID, tmp_path).array_file(NAMES[0]).parent
    assert PreparedVolumes(source, grid, tmp_path).array_file(NAMES[0]).parent != first


def test_another_declaration_or_data_set_has_a_folder_of_its_own(source: CTRateSource, tmp_path: Path) -> None:
    write_ct_rate(tmp_path / "other", NAMES)
    sources = [source, CTRateSource(tmp_path / "data", hu="header"), CTRateSource(tmp_path / "other")]
    assert len({PreparedVolumes(s, GRID, tmp_path).array_file(NAMES[0]) for s in sources}) == 3


def test_a_damaged_array_is_refused_at_its_first_read(source: CTRateSource, tmp_path: Path) -> None:
    prepared = _prepare(source, tmp_path)
    path = prepared.array_file(NAMES[0])
    _flip_last_byte(path)
    with pytest.raises(DataError, match=rf"{path}: is damaged .*; delete it and run simcrop data prepare"):
        prepared.read(NAMES[0])


def _flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _marks(prepared: PreparedVolumes, names: list[str]) -> None:
    for name in names:
        prepared.read(name)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_one_process_has_verified_no_other_does(source: CTRateSource, tmp_path: Path, method: str) -> None:
    prepared = _prepare(source, tmp_path)
    child = multiprocessing.get_context(method).Process(target=_marks, args=(prepared, NAMES[:2]))
    child.start()
    child.join()
    assert child.exitcode == 0
    for name in NAMES:
        _flip_last_byte(prepared.array_file(name))
    _marks(prepared, NAMES[:2])
    for name in NAMES[2:]:
        with pytest.raises(DataError, match="is damaged"):
            prepared.read(name)


def test_without_shared_memory_each_process_verifies_for_itself(
    source: CTRateSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(tensor: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("unable to allocate shared memory(shm)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    prepared = _prepare(source, tmp_path)
    _flip_last_byte(prepared.array_file(NAMES[0]))
    with pytest.raises(DataError, match="is damaged"):
        prepared.read(NAMES[0])
    voxels = prepared.read(NAMES[1]).clone()
    _flip_last_byte(prepared.array_file(NAMES[1]))
    assert not torch.equal(prepared.read(NAMES[1]), voxels), "it is verified once"


def test_boxes_are_verified_as_whole_volumes_are(source: CTRateSource, tmp_path: Path) -> None:
    prepared = _prepare(source, tmp_path)
    _flip_last_byte(prepared.array_file(NAMES[0]))
    box = torch.empty(2, 2, 2, dtype=torch.int16)
    with pytest.raises(DataError, match="is damaged"):
        prepared.read_box(NAMES[0], (0, 0, 0), box)
    prepared.read_box(NAMES[1], (-1, 0, 0), box)
    assert torch.equal(box, crop(prepared.read(NAMES[1]), (-1, 0, 0), (2, 2, 2)))


def test_an_array_of_another_size_is_damaged(source: CTRateSource, tmp_path: Path) -> None:
    prepared = _prepare(source, tmp_path)
    np.save(prepared.array_file(NAMES[0]), np.zeros((12, 12, 5), np.int16))
    with pytest.raises(DataError, match="is damaged"):
        prepared.read(NAMES[0])


def test_what_was_never_prepared_is_refused(source: CTRateSource, tmp_path: Path) -> None:
    prepared = PreparedVolumes(source, GRID, tmp_path)
    with pytest.raises(DataError, match="run simcrop data prepare"):
        prepared.read(NAMES[0])
    with pytest.raises(DataError, match="run simcrop data prepare"):
        prepared.affine(NAMES[0])


def test_writing_to_what_was_read_does_not_change_the_cache(source: CTRateSource, tmp_path: Path) -> None:
    prepared = _prepare(source, tmp_path)
    before = prepared.read(NAMES[0]).clone()
    prepared.read(NAMES[0]).fill_(0)
    assert torch.equal(prepared.read(NAMES[0]), before)


def test_a_slice_that_changes_in_a_folder_of_slices_changes_its_stamp(source: CTRateSource, tmp_path: Path) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.dcm").write_bytes(b"slice")
        os.utime(folder / f"{number}.dcm", ns=(1, 1))
    files = SimpleNamespace(volume_file=lambda name: folder)
    before = source_stamp(files, "series")
    (folder / "1.dcm").write_bytes(b"other")
    assert source_stamp(files, "series") != before
    assert before["bytes"] == 15


def test_masks_lie_on_the_prepared_grid(source: CTRateSource, tmp_path: Path) -> None:
    inside = np.zeros(SHAPE)
    inside[8:12, 4:9, 2:6] = 1
    write_truth(tmp_path / "data" / "ground_truth" / NAMES[0], inside)
    prepared = _prepare(source, tmp_path)
    mask = prepared.read_mask(NAMES[0], "01.nii.gz")
    expected = resample_mask(source.read_mask(NAMES[0], "01.nii.gz"), prepared.affine(NAMES[0]), GRID.size)
    assert torch.equal(mask, expected)
    assert mask.any()


def test_names_with_folders_stay_apart(tmp_path: Path) -> None:
    for number, name in enumerate(["a/b.nii.gz", "a_b.nii.gz"]):
        write_volume(tmp_path / name, chest(number))
    rows = [{"volume": name, "findings": "", "impression": ""} for name in ("a/b.nii.gz", "a_b.nii.gz")]
    write_table(tmp_path / "reports.csv", rows)
    source = ManifestSource(tmp_path / "reports.csv")
    prepared = prepare(source, source.studies(), GRID, tmp_path / "cache")
    assert not torch.equal(prepared.read("a/b.nii.gz"), prepared.read("a_b.nii.gz"))
    assert prepared.array_file("a/b.nii.gz").parent == prepared.array_file("a_b.nii.gz").parent


def test_prepared_volumes_can_be_sent_to_another_process(source: CTRateSource, tmp_path: Path) -> None:
    prepared = _prepare(source, tmp_path)
    copy = pickle.loads(pickle.dumps(prepared))
    assert torch.equal(copy.read(NAMES[0]), prepared.read(NAMES[0]))
