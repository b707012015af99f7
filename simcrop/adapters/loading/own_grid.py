"""The voxels of a volume's own file, and maps of classes put onto them."""

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.ndimage import affine_transform
from torch import Tensor

from simcrop.adapters.formats.opening import is_nifti
from simcrop.core.data.study import Volume
from simcrop.core.ports import DataSet
from simcrop.core.recipe import Size

_DECIMALS = 6
"""Of voxel indices: what lies on the border of two voxels does so for everybody."""


@dataclass(frozen=True)
class OwnGrid:
    """The voxels of a volume's own file.

    Attributes:
        shape: as nibabel loads it; axes beyond the third have one entry.
        size: the first three of it.
        affine: maps indices to world coordinates in mm, RAS.
    """

    shape: tuple[int, ...]
    size: Size
    affine: Float[Tensor, "4 4"]


def own_grid(source: DataSet, reconstruction: str, volume: Volume | None = None) -> OwnGrid:
    """The grid of a volume's NIfTI file; of a volume in another format, its voxels with their axes in RAS order.

    Args:
        source: reads it.
        reconstruction: its name.
        volume: what was read of it, if it was.
    """
    path = source.volume_file(reconstruction)
    if is_nifti(path):
        image: Any = nib.load(path)
        shape, affine = tuple(int(n) for n in image.shape), torch.from_numpy(np.asarray(image.affine, np.float64))
    else:
        volume = source.read_volume(reconstruction) if volume is None else volume
        shape, affine = tuple(volume.voxels.shape), volume.affine.double()
    return OwnGrid(shape, (shape[0], shape[1], shape[2]), affine)


def on_grid(classes: UInt8[Tensor, "H W D"], affine: Float[Tensor, "4 4"], grid: OwnGrid) -> UInt8[Tensor, "X Y Z"]:
    """A map of classes on another grid, nearest neighbour; beyond its outermost voxels it goes on as they are.

    Args:
        classes: on a grid that covers the other one.
        affine: of that grid.
        grid: where to.
    """
    combined = np.round(np.linalg.inv(affine.double().numpy()) @ grid.affine.numpy(), _DECIMALS)
    matrix, offset = combined[:3, :3], combined[:3, 3]
    turned = affine_transform(
        classes.numpy(), matrix, offset.tolist(), output_shape=grid.size, order=0, mode="nearest", prefilter=False
    )
    return torch.from_numpy(turned)
