"""A folder of DICOM slices as one volume; `test_dicom_folders` has each kind of damage."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dicom_series import HU, VOXELS, write_series

from simcrop.adapters.formats.dicom import opened_series
from simcrop.adapters.formats.stored import inspect_stored, read_stored
from simcrop.core.data.problems import BadFileError, Problem, refuse


def test_slices_are_stacked_along_their_normal_and_read_one_by_one(tmp_path: Path) -> None:
    write_series(tmp_path)
    with opened_series(tmp_path, tmp_path, None, refuse) as stored:
        assert (stored.shape, stored.order) == (HU.shape, "C")
        parts = list(stored.chunks)
    assert [part.size for part in parts] == [HU[0].size] * len(HU)
    np.testing.assert_array_equal(np.concatenate(parts).reshape(HU.shape), HU)
    np.testing.assert_allclose(stored.affine[:3], [[0, 0, -3, 100], [0, -2, 0, 80], [5, 0, 0, -300]])
    volume = read_stored(tmp_path, opened_series(tmp_path, tmp_path, None, refuse))
    np.testing.assert_array_equal(volume.voxels.numpy()[::-1, ::-1], VOXELS)


def test_a_missing_slice_is_told_and_a_second_series_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "a")
    (tmp_path / "a/1.dcm").unlink()
    told: list[Problem] = []
    inspect_stored(tmp_path / "a", opened_series(tmp_path / "a", tmp_path, None, told.append), told.append)
    assert "container.incomplete" in [found.code for found in told]

    def other(dataset: Any, number: int) -> None:
        dataset.SeriesInstanceUID = f"1.2.{number % 2}"

    write_series(tmp_path / "b", change=other)
    with pytest.raises(BadFileError, match="holds 2 CT volumes"):
        read_stored(tmp_path / "b", opened_series(tmp_path / "b", tmp_path, None, refuse))
