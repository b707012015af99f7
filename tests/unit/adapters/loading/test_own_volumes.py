"""A scan that a model is applied to has the voxels that evaluation reads of it."""

from pathlib import Path

import numpy as np
from support.data_folders import write_volume

from simcrop.adapters.loading.own_volumes import look_at_scan
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.loading.resample import Grid
from simcrop.adapters.problems.verdicts import source_stamp
from simcrop.adapters.sources.own_scans import OwnScans

GRID, SIZE = Grid((3.0, 3.0, 4.0), (11, 10, 9)), (8, 8, 6)


def test_the_voxels_are_those_of_evaluation(tmp_path: Path) -> None:
    write_volume(tmp_path / "scan.nii.gz")
    scans = OwnScans([tmp_path / "scan.nii.gz"])
    name = scans.studies()[0].study_id
    looked = look_at_scan((scans, GRID, SIZE), name)
    assert looked.voxels is not None
    expected = prepare(scans, scans.studies(), GRID, tmp_path / "cache").read_centre(name, SIZE)
    assert np.array_equal(looked.voxels, expected.numpy())
    assert looked.source == source_stamp(scans, name)
    assert looked.problem is None


def test_a_scan_that_cannot_be_used_has_the_reason(tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(b"")
    scans = OwnScans([tmp_path / "scan.nii.gz"])
    looked = look_at_scan((scans, GRID, SIZE), scans.studies()[0].study_id)
    assert looked.voxels is None
    assert looked.problem is not None
    assert looked.problem.code == "container.empty"
