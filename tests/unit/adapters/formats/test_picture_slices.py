"""A folder of pictures as a volume; `test_cc_ccii` has each kind of damage."""

from pathlib import Path

import numpy as np
import pytest
from support.picture_scans import GREY, write_scan

from simcrop.adapters.formats.picture_slices import opened_slices, slice_files
from simcrop.adapters.formats.stored import read_stored
from simcrop.core.data.problems import BadFileError
from simcrop.core.data.study import Volume


def read(folder: Path, scaling: tuple[float, float] = (1.0, 0.0)) -> Volume:
    return read_stored(folder, opened_slices(folder, root=folder, affine=np.eye(4), scaling=scaling))


def test_slices_go_by_the_last_number_of_their_names(tmp_path: Path) -> None:
    write_scan(tmp_path, name="2021_{}")
    assert [path.name for path in slice_files(tmp_path)][8:11] == ["2021_8.png", "2021_9.png", "2021_10.png"]
    np.testing.assert_array_equal(read(tmp_path).voxels.numpy(), GREY)


@pytest.mark.parametrize("scaling", [(4.0, -1000.0), (1500 / 255, -1350.0)])
def test_grey_values_become_hu(tmp_path: Path, scaling: tuple[float, float]) -> None:
    write_scan(tmp_path)
    expected = GREY.astype(np.float64) * scaling[0] + scaling[1]
    np.testing.assert_allclose(read(tmp_path, scaling).voxels.numpy(), expected, rtol=1e-6)


def test_a_gap_an_odd_size_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    codes: list[str] = []
    for number, change in enumerate(("gap", "size", "empty")):
        folder = tmp_path / str(number)
        write_scan(folder, GREY if change != "empty" else GREY[:0])
        if change == "gap":
            (folder / "5.png").unlink()
        elif change == "size":
            write_scan(tmp_path / "other", GREY[:1, :5], name="5")
            (tmp_path / "other/5.png").replace(folder / "5.png")
        with pytest.raises(BadFileError) as refused:
            read(folder)
        codes.append(refused.value.problem.code)
    assert codes == ["container.incomplete", "container.mixed", "container.incomplete"]
