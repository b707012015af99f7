"""Sentences compared with patches: the parts of a trained model that put both into one space, and their scores.

Shapes: B volumes, N patches, P voxels of a patch, S sentences, T tokens of a sentence.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .vision import Mlp, Window, apply_window, patch_grid, patch_rows, position_table

_AIR_BELOW = -0.95
"""Of a window's [-1, 1]."""


class ProjectionHead(nn.Module):
    """Linear, GELU, LayerNorm, Linear: from an encoder's width to the width shared by image and text."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(in_dim, dim)
        self.norm = nn.LayerNorm(dim, eps=1e-12)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_dim] -> [..., dim]."""
        return self.out(self.norm(F.gelu(self.dense(x))))


class LocalBlock(nn.Module):
    """An MLP beside a patch's features."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(dim, eps=1e-6), Mlp(dim, 2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, dim] -> [B, N, dim]."""
        return x + self.mlp(self.norm(x))


class LocalPath(nn.Module):
    """Patches that are read one by one: voxels, the same in ascending order, and the place.

    Args:
        patch_size: voxels of a patch.
        windows: under which the voxels are read.
        air_window: under which the sorted voxels are read, and air is told from tissue.
        dim: width.
        depth: MLPs.
        projection_dim: width of the space shared with sentences.
    """

    def __init__(
        self,
        *,
        patch_size: Sequence[int],
        windows: Sequence[Window],
        air_window: Window,
        dim: int,
        depth: int,
        projection_dim: int,
    ) -> None:
        super().__init__()
        self.patch_size, self.windows, self.air_window = tuple(patch_size), windows, air_window
        values = patch_size[0] * patch_size[1] * patch_size[2]
        self.values = nn.Linear(values * len(windows), dim)
        self.sorted_values = nn.Linear(values, dim)
        self.blocks = nn.ModuleList(LocalBlock(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = ProjectionHead(dim, projection_dim)

    def forward(self, volume: Tensor) -> Tensor:
        """[B, 1, H, W, D] in HU -> [B, N, projection_dim]."""
        rows, weight = patch_rows(volume, self.patch_size), self.values.weight
        windowed = torch.cat([apply_window(rows, window) for window in self.windows], dim=2)
        ordered = apply_window(rows.sort(dim=2).values, self.air_window)
        places = position_table("sincos3d", patch_grid(volume.shape[2:], self.patch_size), len(weight))[:, 1:]
        x = self.values(windowed.to(weight.dtype)) + self.sorted_values(ordered.to(weight.dtype)) + places.to(weight)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def holds_tissue(volume: Tensor, patch_size: Sequence[int], window: Window) -> Tensor:
    """Tell the patches [B, N] that are more than air: over half of their voxels are above -0.95 of the window."""
    above = apply_window(patch_rows(volume, patch_size), window) > _AIR_BELOW
    return 2 * above.sum(2) > above.shape[2]


def token_mean(tokens: Tensor, chosen: Tensor) -> Tensor:
    """Mean [S, dim] of the chosen [S, T] tokens [S, T, dim] of each sentence; zeros where none is."""
    weights = chosen[:, None].to(tokens.dtype)
    return (weights @ tokens / weights.sum(2, keepdim=True).clamp_min(1.0))[:, 0]


def soft_scores(sentences: Tensor, patches: Tensor, temperature: float) -> Tensor:
    """Score [B, S] of sentences [S, dim] in volumes of patches [B, N, dim], from -1 to 1.

    It is t * (log of the sum over patches of exp(cosine / t) - log N): between the mean of the cosines (t high) and
    their maximum (t low). A row of zeros, a patch that was left out, has a cosine of -1.
    """
    rows, columns = _unit(sentences) / temperature, []
    for volume in patches:
        left_out = torch.where((volume != 0).any(1), 0.0, -1.0 / temperature)
        columns.append((rows @ _unit(volume).T + left_out).logsumexp(1))
    return temperature * (torch.stack(columns) - math.log(patches.shape[1]))


def best_scores(sentences: Tensor, patches: Tensor, top_k: int) -> Tensor:
    """Score [B, S]: the mean of the `top_k` best cosines of sentences [S, dim] in volumes of patches [B, N, dim]."""
    rows, k = _unit(sentences), min(top_k, patches.shape[1])
    return torch.stack([(rows @ _unit(volume).T).topk(k, dim=1).values.mean(1) for volume in patches])


def _unit(rows: Tensor) -> Tensor:
    """Rows of length 1, in float32; one of zeros stays so."""
    return F.normalize(rows.float(), dim=-1, eps=1e-12)
