"""The local path: patches that are read one by one, each for what it shows itself (docs/method.md, section 4, item 6).

A token behind attention carries the whole scan: a sentence finds it similar wherever the finding lies. Here no patch
knows of another, so a sentence can be similar to nothing but the place itself. Nothing is quadratic in the number of
patches, which may be smaller than the encoder's.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from simcrop.core.model.encoder import Mlp, initialize
from simcrop.core.model.fusion import ProjectionHead
from simcrop.core.model.patches import AnyVolume, apply_window, holds_tissue, patch_grid, patch_rows
from simcrop.core.model.positions import position_table
from simcrop.core.ops import PatchSize
from simcrop.core.randomness import noise
from simcrop.core.recipe import ModelRecipe


class LocalBlock(nn.Module):
    """An MLP beside a patch's features."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(dim, eps=1e-6), Mlp(dim, 2 * dim)

    def forward(self, x: Float[Tensor, "B L dim"]) -> Float[Tensor, "B L dim"]:
        return x + self.mlp(self.norm(x))


class LocalPath(nn.Module):
    """Voxels of a patch, the same in ascending order, and its place, to features in the space of sentences.

    The order makes extremes and shares of tissue linear in what is read, wherever in the patch they lie: a
    calcification of one voxel is the end of a row.

    Args:
        recipe: widths, windows and the size of the volumes.
        patch_size: voxels of a patch.
    """

    positions: Tensor

    def __init__(self, recipe: ModelRecipe, patch_size: PatchSize) -> None:
        super().__init__()
        self.recipe, self.patch_size = recipe, patch_size
        values, dim = recipe.in_channels * patch_size[0] * patch_size[1] * patch_size[2], recipe.local_dim
        self.values = nn.Linear(values * len(recipe.input_windows), dim)
        self.sorted_values = nn.Linear(values, dim)
        self.register_buffer("positions", self._table(recipe.volume_size), persistent=False)
        self.blocks = nn.ModuleList(LocalBlock(dim) for _ in range(recipe.local_depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = ProjectionHead(dim, recipe.projection_dim)
        initialize(self)

    def forward(self, volume: AnyVolume, ids: Int64[Tensor, "B L"] | None = None) -> Float[Tensor, "B L dim"]:
        """Features of the patches; of one without tissue they are zero unless the recipe lets air be a place.

        Args:
            volume: [B, C, H, W, D] in HU, any dtype.
            ids: patches to look at; None looks at all.
        """
        rows = patch_rows(volume, ids, self.patch_size)
        windowed = [apply_window(rows, window) for window in self.recipe.input_windows]
        ordered = apply_window(rows.sort(dim=2).values, self.recipe.window)
        x = self.values(torch.cat(windowed, dim=2)) + self.sorted_values(ordered) + self._places(volume, ids)
        for block in self.blocks:
            x = block(x)
        features = self.head(self.norm(x))
        if not self.recipe.ignore_air:
            return features
        return features * holds_tissue(volume, ids, self.patch_size, self.recipe.window)[..., None]

    def draw(self, volume: AnyVolume, seeds: Int64[Tensor, "B"]) -> Int64[Tensor, "B L"]:
        """Patches of a training step: the recipe's share of each volume, at random, those with tissue first.

        Args:
            volume: HU.
            seeds: of each volume's draw.
        """
        tissue = holds_tissue(volume, None, self.patch_size, self.recipe.window)
        order = noise(seeds, tissue.shape[1]) + tissue
        return order.topk(self.recipe.num_matched, dim=1, sorted=False).indices.sort(dim=1).values

    def _places(self, volume: AnyVolume, ids: Int64[Tensor, "B L"] | None) -> Float[Tensor, "B L dim"]:
        size = (volume.shape[2], volume.shape[3], volume.shape[4])
        table = self.positions if size == self.recipe.volume_size else self._table(size).to(self.positions)
        return table[None] if ids is None else F.embedding(ids, table)

    def _table(self, volume_size: tuple[int, int, int]) -> Float[Tensor, "N dim"]:
        grid = patch_grid(volume_size, self.patch_size)
        return position_table("sincos3d", grid, self.recipe.local_dim)[0, 1:]
