"""A scan that a model is applied to has the voxels that evaluation reads of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.data_folders import write_volume

from simcrop.adapters.loading.own_grid import on_grid
from simcrop.adapters.loading.own_volumes import Looked, SeenScan, WholeScan, look_at_centre, look_at_whole
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.loading.resample import Grid, covering_grid, resample_volume
from simcrop.adapters.problems.verdicts import source_stamp
from simcrop.adapters.sources.own_scans import OwnScans
from simcrop.core.data.problems import Problem
from simcrop.core.data.study import Volume

GRID, SIZE = Grid((3.0, 3.0, 4.0), (11, 10, 9)), (8, 8, 6)


def test_the_voxels_are_those_of_evaluation(tmp_path: Path) -> None:
    write_volume(tmp_path / "scan.nii.gz")
    scans = OwnScans([tmp_path / "scan.nii.gz"])
    name = scans.studies()[0].study_id
    looked = look_at_centre((scans, (GRID, SIZE, None)), name)
    assert isinstance(looked.found, SeenScan)
    expected = prepare(scans, scans.studies(), GRID, tmp_path / "cache").read_centre(name, SIZE)
    assert torch.equal(looked.found.voxels, expected)
    assert looked.source == source_stamp(scans, name)
    assert 0 <= looked.seconds < 60
    assert looked.found.shown is None


def flipped(volume: Volume) -> Volume:
    return Volume(volume.voxels.flip(0), volume.affine)


def test_the_voxels_know_where_they_lie_and_a_page_gets_its_own(tmp_path: Path) -> None:
    write_volume(tmp_path / "scan.nii.gz")
    scans = OwnScans([tmp_path / "scan.nii.gz"])
    name = scans.studies()[0].study_id
    volume = scans.read_volume(name)
    found = look_at_centre((scans, (GRID, SIZE, flipped)), name).found
    assert isinstance(found, SeenScan)
    whole, affine = resample_volume(volume, GRID)
    x, y, z = ((affine.inverse() @ found.affine)[:3, 3]).round().int().tolist()
    assert (x, y, z) == (1, 1, 1)
    assert torch.equal(found.voxels, whole[x : x + 8, y : y + 8, z : z + 6])
    for looked in (found, look_at_whole((scans, (GRID.spacing_mm, flipped)), name).found):
        assert isinstance(looked, SeenScan)
        assert looked.shown is not None
        assert torch.equal(looked.shown.voxels, volume.voxels.flip(0))


def test_a_whole_scan_covers_its_file_and_knows_the_file_s_grid(tmp_path: Path) -> None:
    write_volume(tmp_path / "scan.nii.gz")
    scans = OwnScans([tmp_path / "scan.nii.gz"])
    name = scans.studies()[0].study_id
    found, volume = look_at_whole((scans, ((3.0, 2.5, 4.0), None)), name).found, scans.read_volume(name)
    assert isinstance(found, WholeScan)
    assert found.voxels.shape == covering_grid(volume, (3.0, 2.5, 4.0)).size
    assert found.affine[:3, :3].norm(dim=0).tolist() == [3.0, 2.5, 4.0]
    assert found.grid.size == tuple(volume.voxels.shape)
    own = on_grid((found.voxels > 0).to(torch.uint8), found.affine, found.grid)
    assert ((own > 0) == (volume.voxels > 0)).float().mean() > 0.8


@pytest.mark.parametrize(
    ("look", "what"), [(look_at_centre, (GRID, SIZE, None)), (look_at_whole, ((3.0, 3.0, 4.0), None))]
)
def test_a_scan_that_cannot_be_used_has_the_reason(
    tmp_path: Path, look: Callable[[Any, str], Looked], what: object
) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(b"")
    scans = OwnScans([tmp_path / "scan.nii.gz"])
    found = look((scans, what), scans.studies()[0].study_id).found
    assert isinstance(found, Problem)
    assert found.code == "container.empty"
