"""From the cosines of a model's patches to a map on the voxels of a scan."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from torch import Tensor

from simcrop.core.recipe import Size

_ROUNDING = 1e-6
"""Of a patch: what lies this little outside lies on the edge."""


@dataclass(frozen=True, eq=False)
class HeatMap:
    """A map on a scan's grid.

    Attributes:
        values: cosines, trilinear between the centres of patches; up to half a patch beyond the outermost centres
            theirs go on; outside of what the model sees, the lowest of all.
        inside: True where the model sees the scan.
        best_voxel: nearest to the centre of the best patch; patches with a centre off the grid do not count.
        best_mm: the same place in world coordinates, mm.
    """

    values: NDArray[np.float32]
    inside: NDArray[np.bool_]
    best_voxel: Size
    best_mm: tuple[float, float, float]

    @property
    def cosine(self) -> float:
        """The value at the best voxel."""
        return float(self.values[self.best_voxel])

    @property
    def share_outside(self) -> float:
        """Share of the scan's voxels that the model does not see."""
        return 1.0 - float(self.inside.mean())


@dataclass(frozen=True, eq=False)
class PatchMap:
    """Values of the patches of a volume that a model saw, and where they lie.

    Attributes:
        patches: [gH, gW, gD], one value a patch; of patches that were left out, the lowest of the others.
        compared: False for patches that the model leaves out, such as air.
        patch_size: voxels of a patch in that volume.
        affine: [4, 4], maps indices of the volume's voxels to world coordinates in mm.
    """

    patches: NDArray[np.float32]
    compared: NDArray[np.bool_]
    patch_size: Size
    affine: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        cosines: Float[Tensor, "N"],
        compared: Bool[Tensor, "N"],
        grid: Size,
        patch_size: Size,
        affine: NDArray[np.float64],
    ) -> "PatchMap":
        """The map of a sentence: what is left out gets the lowest of the others, as its 0 can be the highest of all.

        Args:
            cosines: in patch order.
            compared: patches that the model does not leave out.
            grid: patches along each axis.
            patch_size, affine: see the class.
        """
        values = cosines.where(compared, cosines.where(compared, torch.inf).min())
        patches, there = (each.reshape(grid).cpu().numpy() for each in (values, compared))
        return cls(patches, there, patch_size, affine)

    @property
    def best_mm(self) -> tuple[float, float, float]:
        """The centre of the best patch in world coordinates, mm."""
        cell = np.array(np.unravel_index(int(self.patches.argmax()), self.patches.shape))
        patch = np.asarray(self.patch_size, np.float64)
        x, y, z, _ = (float(value) for value in self.affine @ (*(cell * patch + (patch - 1) / 2), 1))
        return x, y, z

    def onto(self, shape: Size, affine: NDArray[np.float64]) -> HeatMap:
        """The map on a grid; see `map_onto`."""
        return map_onto(self.patches, self.patch_size, self.affine, shape, affine)

    def sampled(self, samples: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """The map on a grid of its own, NaN in patches that were left out, and the affine of that grid.

        Args:
            samples: along each edge of a patch; an odd number has one at its centre.
        """
        x, y, z = (count * samples for count in self.patches.shape)
        scale = np.asarray(self.patch_size, np.float64) / samples
        # Sample i lies in the middle of its share of the voxels, whose first begins at index -0.5.
        finer = np.diag([*scale, 1.0])
        finer[:3, 3] = (scale - 1) / 2
        affine = self.affine @ finer
        values = self.onto((x, y, z), affine).values
        values[~self.compared.repeat(samples, 0).repeat(samples, 1).repeat(samples, 2)] = np.nan
        return values, affine


def map_onto(
    patches: NDArray[np.float32],
    patch_size: Size,
    seen: NDArray[np.float64],
    shape: Size,
    affine: NDArray[np.float64],
) -> HeatMap:
    """Sample a map of patches at the voxel centres of a grid, oblique or not.

    Args:
        patches: [gH, gW, gD], one value a patch.
        patch_size: voxels of a patch in the volume that the model saw.
        seen: [4, 4], maps indices of that volume's voxels to world coordinates in mm.
        shape: of the grid.
        affine: [4, 4], maps indices of the grid to world coordinates in mm.
    """
    patch = np.asarray(patch_size, np.float64)
    to_voxels = np.linalg.inv(seen) @ affine
    # Voxel i of the model's volume lies at (i + 0.5) / patch - 0.5 on the axis that counts patch centres.
    matrix = to_voxels[:3, :3] / patch[:, None]
    offset = (to_voxels[:3, 3] + 0.5) / patch - 0.5
    values = affine_transform(
        patches, matrix, offset.tolist(), shape, np.float32, order=1, mode="nearest", prefilter=False
    )
    values = np.asarray(values, np.float32)
    inside = _inside(matrix, offset, np.asarray(patches.shape), shape)
    values[~inside] = patches.min()
    voxel = _best_voxel(patches, patch, np.linalg.inv(affine) @ seen, shape)
    x, y, z, _ = (float(value) for value in affine @ (*voxel, 1))
    return HeatMap(values, inside, voxel, (x, y, z))


def _best_voxel(
    patches: NDArray[np.float32], patch: NDArray[np.float64], to_grid: NDArray[np.float64], shape: Size
) -> Size:
    cells = np.stack(np.meshgrid(*map(np.arange, patches.shape), indexing="ij"), -1).reshape(-1, 3)
    voxels = (cells * patch + (patch - 1) / 2) @ to_grid[:3, :3].T + to_grid[:3, 3]
    last = np.asarray(shape) - 1
    is_on = ((voxels >= -0.5) & (voxels <= last + 0.5)).all(1)
    # A grid that lies between all centres takes the best patch, wherever it is.
    values = np.where(is_on, patches.ravel(), -np.inf) if is_on.any() else patches.ravel()
    x, y, z = (int(index) for index in np.clip(np.rint(voxels[values.argmax()]), 0, last))
    return x, y, z


def _inside(
    matrix: NDArray[np.float64], offset: NDArray[np.float64], size: NDArray[np.int64], shape: Size
) -> NDArray[np.bool_]:
    """Which voxels lie in the box of all patches; a plane of the grid at a time, as coordinates take much memory."""
    _, second, third = (np.arange(count, dtype=np.float64) for count in shape)
    inside = np.empty(shape, bool)
    for index in range(shape[0]):
        start = matrix[:, 0] * index + offset
        along = matrix[:, 1, None, None] * second[:, None] + matrix[:, 2, None, None] * third
        at = along + start[:, None, None]
        low, high = -0.5 - _ROUNDING, (size - 0.5 + _ROUNDING)[:, None, None]
        inside[index] = ((at >= low) & (at <= high)).all(0)
    return inside
