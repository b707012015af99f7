"""The grid of a volume's own file, and maps of classes put onto it."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from support.organ_data import AFFINES, LPS, OBLIQUE, RAS

from simcrop.adapters.loading.own_grid import OwnGrid, on_grid, own_grid
from simcrop.core.data.study import Volume
from simcrop.core.ports import DataSet


@pytest.mark.parametrize("affine", [RAS, LPS, OBLIQUE], ids=AFFINES)
def test_each_voxel_takes_the_class_of_the_nearest_centre(affine: np.ndarray) -> None:
    """Against a search over all centres, of a grid that covers the file's voxels to their outer edge."""
    draws = torch.Generator().manual_seed(0)
    classes = torch.randint(0, 3, (9, 8, 7), generator=draws, dtype=torch.uint8)
    coarse = torch.eye(4, dtype=torch.float64)
    coarse[:3, :3] *= 7.3
    coarse[:3, 3] = torch.tensor([-61.0, -51.0, -52.0])
    grid = OwnGrid(
        (5, 6, 4), (5, 6, 4), torch.from_numpy(affine) @ torch.diag(torch.tensor([1.7, 1.7, 1.7, 1.0])).double()
    )
    found = on_grid(classes, coarse, grid)
    centres = np.stack(np.meshgrid(*map(range, classes.shape), indexing="ij"), -1).reshape(-1, 3)
    world = centres * 7.3 + coarse[:3, 3].numpy()
    for index in np.ndindex(5, 6, 4):
        place = (grid.affine.numpy() @ [*index, 1])[:3]
        nearest = np.linalg.norm(world - place, axis=1).argmin()
        assert found[index] == classes.flatten()[nearest]


def test_the_outermost_half_voxels_keep_their_class() -> None:
    classes = torch.full((2, 2, 2), 3, dtype=torch.uint8)
    fine = torch.diag(torch.tensor([0.25, 0.25, 0.25, 1.0])).double()
    fine[:3, 3] = -0.375
    assert (on_grid(classes, torch.eye(4), OwnGrid((8, 8, 8), (8, 8, 8), fine)) == 3).all()


def test_a_volume_of_another_format_has_its_voxels_in_ras_order(tmp_path: Path) -> None:
    class Series:
        def volume_file(self, reconstruction: str) -> Path:
            return tmp_path / "series"

        def read_volume(self, reconstruction: str) -> Volume:
            return Volume(torch.zeros(4, 5, 6), torch.from_numpy(OBLIQUE.astype(np.float32)))

    read = Volume(torch.zeros(4, 5, 7), torch.from_numpy(OBLIQUE))
    for given, size in ((None, (4, 5, 6)), (read, (4, 5, 7))):
        found = own_grid(cast(DataSet, Series()), "a/b", given)
        assert (found.shape, found.size, found.affine.dtype) == (size, size, torch.float64)
        np.testing.assert_allclose(found.affine.numpy(), OBLIQUE, atol=1e-5)
