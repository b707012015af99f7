"""Volumes resampled once to the model's spacing and kept as int16 arrays, of which training reads parts.

    CACHE/grid_KEY/           arrays in HU, RAS, axes along the world's, as `kept_arrays` keeps them, and their affines
    CACHE/grid_KEY_blosc2/    the same, its arrays compressed (`storage`)

KEY is a hash of all else that decides the voxels: the grid, the data set with its declarations, and `VERSION`.
"""

from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int16
from torch import Tensor

from simcrop.adapters.loading.kept_arrays import KeptArrays
from simcrop.adapters.loading.resample import HU_RANGE, Grid, resample_mask
from simcrop.adapters.loading.storage import StorageName, storage_named
from simcrop.adapters.system.cache_folder import key_of
from simcrop.core.data.augment import centre_start
from simcrop.core.errors import DataError
from simcrop.core.ports import TruthSource
from simcrop.core.recipe import Size

VERSION = 2
"""Goes up when the same source would give other voxels."""


class PreparedVolumes(KeptArrays):
    """The prepared volumes of one grid."""

    def __init__(self, source: TruthSource, grid: Grid, cache: Path, storage: StorageName = "raw") -> None:
        """
        Args:
            source: where masks are read from.
            grid: the grid that the volumes were prepared on.
            cache: folder of all grids.
            storage: how they are kept.

        Raises:
            ConfigError: the package that the storage needs is missing.
        """
        self.grid, self._source = grid, source
        kept = storage_named(storage)
        super().__init__(cache / f"{_folder_name(source, grid)}{kept.folder_suffix}", grid.size, kept)

    def read(self, reconstruction: str) -> Int16[Tensor, "H W D"]:
        """Voxels in HU; of a raw array memory-mapped: only the pages that are touched are read (all at the first read).

        Raises:
            DataError: if the array is absent or its checksum is wrong.
        """
        with self._opened(reconstruction) as stored:
            return stored.whole()

    def read_centre(self, reconstruction: str, size: Size) -> Int16[Tensor, "h w d"]:
        """The box of `size` at the centre, as evaluation sees the volume."""
        box = torch.empty(size, dtype=torch.int16)
        self.read_box(reconstruction, centre_start(self.size, size), box)
        return box

    def read_mask(self, reconstruction: str, name: str) -> Bool[Tensor, "H W D"]:
        """A ground-truth mask on the prepared grid (`resample_mask` has the rule)."""
        mask = self._source.read_mask(reconstruction, name)
        return resample_mask(mask, self.affine(reconstruction), self.grid.size)

    def affine(self, reconstruction: str) -> Float[Tensor, "4 4"]:
        """Maps indices of the prepared voxels to world coordinates in mm, RAS."""
        return torch.tensor(self._row(reconstruction)["affine"], dtype=torch.float64)


def read_error(prepared: PreparedVolumes, reconstruction: str) -> str | None:
    """Error of reading a prepared volume; None where it can be read."""
    try:
        prepared.read(reconstruction)
    except DataError as error:
        return str(error)
    return None


def _folder_name(source: TruthSource, grid: Grid) -> str:
    """Names everything that changes the voxels but the volume itself."""
    return f"grid_{key_of([VERSION, source.identity, HU_RANGE, asdict(grid)])}"
