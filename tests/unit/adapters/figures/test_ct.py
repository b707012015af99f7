"""Pictures: what is drawn where, in the radiological convention."""

import numpy as np
import pytest

from simcrop.adapters.figures.ct import PLANES, oriented

SHAPE = (12, 10, 6)


@pytest.mark.parametrize(
    ("plane", "voxel", "row", "column"),
    [
        ("axial", (11, 9, 2), 0, 0),  # right and front: top left
        ("axial", (0, 0, 2), -1, -1),
        ("coronal", (11, 4, 5), 0, 0),  # right and head: top left
        ("coronal", (0, 4, 0), -1, -1),
        ("sagittal", (3, 9, 5), 0, 0),  # front and head: top left
        ("sagittal", (3, 0, 0), -1, -1),
    ],
)
def test_slices_are_shown_as_radiologists_read_them(
    plane: str, voxel: tuple[int, int, int], row: int, column: int
) -> None:
    volume = np.zeros(SHAPE)
    volume[voxel] = 1
    assert oriented(volume, plane, voxel[PLANES[plane]])[row, column] == 1
