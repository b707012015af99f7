"""One array of an .npz file; `test_radchestct` has each kind of damage."""

from pathlib import Path

import numpy as np
import pytest
from support.data_folders import AFFINE, chest
from support.landmarks import flip_byte

from simcrop.adapters.formats.npz import opened_array
from simcrop.adapters.formats.stored import read_stored
from simcrop.core.data.problems import BadFileError


def refusal(path: Path, key: str = "ct") -> str:
    with pytest.raises(BadFileError) as refused:
        read_stored(path, opened_array(path, key, AFFINE))
    return refused.value.problem.code


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "i2", ">i2", "f4"])
def test_an_array_is_a_volume_where_its_affine_puts_it(tmp_path: Path, save, order: str, dtype: str) -> None:
    voxels = np.asarray(np.abs(chest()) % 200, dtype, order="F" if order == "F" else "C")
    save(tmp_path / "a.npz", ct=voxels, other=np.zeros(3))
    with opened_array(tmp_path / "a.npz", "ct", AFFINE) as stored:
        assert (stored.shape, stored.order, stored.dtype) == (voxels.shape, order, voxels.dtype)
        assert stored.affine is AFFINE
    volume = read_stored(tmp_path / "a.npz", opened_array(tmp_path / "a.npz", "ct", AFFINE))
    np.testing.assert_array_equal(volume.voxels.numpy(), voxels)


def test_what_is_no_volume_of_numbers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for array, code in (
        (np.zeros((3, 4)), "content.not_3d"),
        (np.zeros((3, 0, 4)), "header.dims"),
        (np.zeros((3, 4, 5), complex), "header.datatype"),
        (np.full((1, 1, 1), None), "safety.pickle"),
    ):
        np.savez(path, ct=array)
        assert refusal(path) == code
    assert refusal(path, "mask") == "container.format"
    np.savez_compressed(path, ct=chest())
    flip_byte(path, 300)
    assert refusal(path) in {"container.crc", "container.corrupt"}
