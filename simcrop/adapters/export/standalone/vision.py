"""The vision encoder of a trained model: a 3D ViT that reads every patch of a volume in HU.

Shapes: B volumes, N patches, P voxels of a patch, E channels. Token 1 + (h * gW + w) * gD + d is patch (h, w, d).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Window = Sequence[float]
"""(low, high) in HU: v becomes clip((v - low) / (high - low) * 2 - 1, -1, 1)."""


class VisionEncoder(nn.Module):
    """3D ViT over the patches of a volume in HU, RAS, at the spacing that it was trained at.

    Args:
        volume_size: voxels along x, y, z that the position table is made for.
        patch_size: voxels of a patch.
        windows: each is a channel of the patch embedding.
        hidden_size: E.
        num_hidden_layers: blocks.
        num_attention_heads: of a block.
        intermediate_size: hidden width of a block's MLP.
        position_embedding: sincos3d or sincos_hw.
    """

    pos_embed: Tensor

    def __init__(
        self,
        *,
        volume_size: Sequence[int],
        patch_size: Sequence[int],
        windows: Sequence[Window],
        hidden_size: int,
        num_hidden_layers: int,
        num_attention_heads: int,
        intermediate_size: int,
        position_embedding: str,
    ) -> None:
        super().__init__()
        self.volume_size, self.patch_size = tuple(volume_size), tuple(patch_size)
        self.position_embedding = position_embedding
        self.patch_embed = PatchEmbed(hidden_size, self.patch_size, windows)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, hidden_size))
        self.register_buffer("pos_embed", self._table(self.volume_size))
        blocks = [Block(hidden_size, num_attention_heads, intermediate_size) for _ in range(num_hidden_layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(hidden_size, eps=1e-6)

    def forward(self, volume: Tensor) -> Tensor:
        """Same as `encode` with normalized output."""
        return self.encode(volume)

    def encode(self, volume: Tensor, *, normalized: bool = True) -> Tensor:
        """Tokens [B, N+1, E] of a volume, class token first.

        Args:
            volume: [B, 1, H, W, D] in HU. Of another size that the patch divides, the position table is made anew.
            normalized: False leaves out the final LayerNorm.
        """
        embedded, size = self.patch_embed(volume), tuple(volume.shape[2:])
        positions = self.pos_embed if size == self.volume_size else self._table(size).to(self.pos_embed)
        tokens = embedded + positions[:, 1:]
        cls_token = (self.cls_token + positions[:, :1]).expand(len(tokens), -1, -1)
        tokens = torch.cat([cls_token, tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens) if normalized else tokens

    def _table(self, size: Sequence[int]) -> Tensor:
        width = self.patch_embed.proj.out_channels
        return position_table(self.position_embedding, patch_grid(size, self.patch_size), width)


class PatchEmbed(nn.Module):
    """A linear map of every patch under every window; its weight is kept as that of a Conv3d."""

    def __init__(self, hidden_size: int, patch_size: Sequence[int], windows: Sequence[Window]) -> None:
        super().__init__()
        kernel = (patch_size[0], patch_size[1], patch_size[2])
        self.windows = windows
        self.proj = nn.Conv3d(len(windows), hidden_size, kernel, stride=kernel)

    def forward(self, volume: Tensor) -> Tensor:
        """[B, 1, H, W, D] in HU -> [B, N, E]."""
        rows = patch_rows(volume, self.proj.kernel_size)
        values = torch.cat([apply_window(rows, window) for window in self.windows], dim=2)
        weight = self.proj.weight
        return F.linear(values.to(weight.dtype), weight.flatten(1), self.proj.bias)


class Attention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, E] -> [B, L, E]."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Linear, GELU, Linear."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, E] -> [B, L, E]."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, dim: int, num_heads: int, mlp_size: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, mlp_size)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, E] -> [B, L, E]."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def patch_grid(volume_size: Sequence[int], patch_size: Sequence[int]) -> tuple[int, ...]:
    """Patches along each axis. Raises ValueError if the patch does not divide the volume."""
    for size, patch in zip(volume_size, patch_size, strict=True):
        if size % patch:
            raise ValueError(f"volume: {list(volume_size)} voxels are not divisible by patches of {list(patch_size)}")
    return tuple(size // patch for size, patch in zip(volume_size, patch_size, strict=True))


def patch_rows(volume: Tensor, patch_size: Sequence[int]) -> Tensor:
    """Every patch of a volume [B, 1, H, W, D] as a row of float32, in token order: [B, N, P].

    Raises:
        ValueError: another shape, or the patch does not divide the volume.
    """
    if volume.ndim != 5 or volume.shape[1] != 1:
        raise ValueError(f"volume: expected [B, 1, H, W, D] in HU, got the shape {list(volume.shape)}")
    gh, gw, gd = patch_grid(volume.shape[2:], patch_size)
    view = volume.float().unflatten(4, (gd, -1)).unflatten(3, (gw, -1)).unflatten(2, (gh, -1))
    return view.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)


def apply_window(values: Tensor, window: Window) -> Tensor:
    """HU to [-1, 1]."""
    low, high = window
    return ((values - low) * (2.0 / (high - low)) - 1.0).clamp(-1.0, 1.0)


def position_table(kind: str, grid: Sequence[int], width: int) -> Tensor:
    """Table [1, N+1, width] for a grid of patches; row 0 belongs to the class token and is zero."""
    axes = [torch.arange(size, dtype=torch.float64) for size in grid]
    h, w, d = (axis.flatten()[:, None] for axis in torch.meshgrid(*axes, indexing="ij"))
    if kind == "sincos3d":  # sine and cosine of each axis, as many frequencies as fit, then zeros
        omega = 10000.0 ** (-torch.arange(width // 6, dtype=torch.float64) / (width // 6))
        rows = torch.cat([part for at in (h, w, d) for part in ((at * omega).sin(), (at * omega).cos())], dim=1)
        rows = F.pad(rows, (0, width - rows.shape[1]))
    else:  # sincos_hw: sines of h and cosines of w by turns
        omega = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
        rows = torch.stack([(h * omega).sin(), (w * omega).cos()], dim=2).flatten(1)
    return torch.cat([torch.zeros(1, width), rows.float()])[None]
