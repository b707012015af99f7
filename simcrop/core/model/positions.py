"""Fixed position tables (docs/method.md, section 2, item 3)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.core.errors import ConfigError
from simcrop.core.recipe import Size


def position_table(kind: Literal["sincos3d", "sincos_hw"], grid: Size, width: int) -> Float[Tensor, "1 N+1 width"]:
    """Table of `width` channels for a grid of patches; row 0 belongs to the class token and is zero.

    Args:
        kind: sincos3d encodes all axes, sincos_hw (paper) only the first two.
        grid: patches along (H, W, D).
        width: channels; sincos3d needs at least 6, sincos_hw an even number.

    Raises:
        ConfigError: the width does not suit the kind.
    """
    table = _sincos3d(grid, width) if kind == "sincos3d" else _sincos_hw(grid, width)
    return torch.cat([torch.zeros(1, width), table.float()])[None]


def _coordinates(grid: Size) -> tuple[Tensor, Tensor, Tensor]:
    axes = [torch.arange(size, dtype=torch.float64) for size in grid]
    h, w, d = (axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij"))
    return h, w, d


def _sincos3d(grid: Size, width: int) -> Float[Tensor, "N width"]:
    """[sin h, cos h, sin w, cos w, sin d, cos d] with floor(width / 6) frequencies each, the rest 0."""
    num_frequencies = width // 6
    if num_frequencies == 0:
        raise ConfigError(f"embed_dim: sincos3d needs a width of at least 6, not {width}")
    omega = 10000.0 ** (-torch.arange(num_frequencies, dtype=torch.float64) / num_frequencies)
    angles = [coordinate[:, None] * omega for coordinate in _coordinates(grid)]
    channels = torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)
    return torch.nn.functional.pad(channels, (0, width - channels.shape[1]))


def _sincos_hw(grid: Size, width: int) -> Float[Tensor, "N width"]:
    """Channel 2i = sin(h * omega_i), 2i + 1 = cos(w * omega_i), omega_i = 10000^(-2i / width); depth is left out."""
    if width % 2:
        raise ConfigError(f"embed_dim: sincos_hw needs an even width, not {width}")
    omega = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    h, w, _ = _coordinates(grid)
    return torch.stack([(h[:, None] * omega).sin(), (w[:, None] * omega).cos()], dim=2).flatten(1)
