"""The vision encoder: a 3D ViT that reads only the visible patches (docs/method.md, section 2).

State-dict names are timm's (`cls_token`, `pos_embed`, `patch_embed.proj.weight`, `blocks.0.attn.qkv.weight`, ...).
"""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from simcrop.core.errors import InputError
from simcrop.core.model.patches import AnyVolume, patch_grid
from simcrop.core.model.positions import position_table
from simcrop.core.ops import Ops
from simcrop.core.recipe import ModelRecipe

_SPACING = 0.02
"""Relative difference of spacings that reads as the same."""


class Attention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values.

    Attributes:
        order: implementations to try, the best first; empty leaves the choice to torch. It is applied here, where no
            token is hidden from another, so that a block that is computed again in the backward pass takes the same.
    """

    order: Sequence[SDPBackend] = ()

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self, x: Float[Tensor, "B L E"], queries: Float[Tensor, "B Q E"] | None = None
    ) -> Float[Tensor, "B Q E"]:
        """What `queries` gather from the tokens `x`; None: every token asks."""
        if queries is None:
            q, k, v = self._heads(self.qkv(x), 3)
        else:
            dim = x.shape[2]
            weight, bias = self.qkv.weight, self.qkv.bias
            (q,) = self._heads(F.linear(queries, weight[:dim], bias[:dim]), 1)
            k, v = self._heads(F.linear(x, weight[dim:], bias[dim:]), 2)
        with sdpa_kernel(list(self.order), set_priority=True) if self.order else nullcontext():
            gathered = F.scaled_dot_product_attention(q, k, v)
        return self.proj(gathered.transpose(1, 2).flatten(2))

    def _heads(self, x: Float[Tensor, "B L D"], parts: int) -> tuple[Tensor, ...]:
        return x.unflatten(2, (parts, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind()


class Mlp(nn.Module):
    """Linear, GELU, Linear."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "B L E"]) -> Float[Tensor, "B L E"]:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block.

    Attributes:
        compiled: stands in for the block in training steps; see `compile_blocks`.
    """

    compiled: Callable[[Tensor, Tensor | None], Tensor] | None = None

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, round(dim * mlp_ratio))

    def forward(self, x: Float[Tensor, "B L E"], at: Int64[Tensor, "B Q"] | None = None) -> Float[Tensor, "B Q E"]:
        """Tokens after the block; only those `at` some places, where the others are not read any more."""
        normed = self.norm1(x)
        if at is None:
            x = x + self.attn(normed)
        else:
            rows = at[..., None].expand(-1, -1, x.shape[2])
            x = x.gather(1, rows) + self.attn(normed, normed.gather(1, rows))
        return x + self.mlp(self.norm2(x))


def run_blocks(
    blocks: nn.ModuleList, x: Tensor, *, recompute: bool, read: Int64[Tensor, "B Q"] | None = None
) -> Tensor:
    """Apply the blocks in turn, those that are compiled in a training step alone.

    Args:
        blocks: of the transformer, at least one.
        x: [B, L, E].
        recompute: whether to compute a block again in the backward pass: more time, less memory for activations.
        read: places of the tokens that are wanted; the last block computes no others.
    """
    learns = torch.is_grad_enabled()
    for number, block in enumerate(blocks):
        assert isinstance(block, Block)
        at = read if number == len(blocks) - 1 else None
        run = block.compiled if block.compiled is not None and block.training and learns else block
        x = checkpoint(run, x, at, use_reentrant=False) if recompute and learns else run(x, at)
    return x


def compile_blocks(blocks: nn.ModuleList, **options: Any) -> None:
    """Let torch.compile have the blocks, for training steps alone.

    There every shape is always the same, so each kind of block is one graph. Held-out batches, small last batches and
    pictures have other shapes, and would fill Dynamo's cache until it gives up: they run as they are.

    Args:
        blocks: of a transformer; names in its state dict stay.
        options: for torch.compile.
    """
    # Dynamo would cut the graph of a large block where DDP's buckets end; ranks exchange between blocks as it is.
    torch._dynamo.config.optimize_ddp = False  # pyright: ignore[reportPrivateUsage]
    for block in blocks:
        assert isinstance(block, Block)
        block.compiled = torch.compile(block.forward, dynamic=False, **options)


class PatchEmbed(nn.Module):
    """Holds the Conv3d whose weight embeds the patches; the operation itself is one of `Ops`."""

    def __init__(self, recipe: ModelRecipe, ops: Ops) -> None:
        super().__init__()
        self.patch_size, self.windows = recipe.patch_size, recipe.input_windows
        self.proj = nn.Conv3d(recipe.input_channels, recipe.embed_dim, recipe.patch_size, stride=recipe.patch_size)
        self._embed = ops.masked_patch_embed

    def forward(
        self, volume: AnyVolume, pos_embed: Float[Tensor, "N E"], ids_keep: Int64[Tensor, "B L"] | None
    ) -> Float[Tensor, "B L E"]:
        weight, bias = self.proj.weight, self.proj.bias
        return self._embed(volume, weight, bias, pos_embed, ids_keep, patch_size=self.patch_size, window=self.windows)


class VisionEncoder(nn.Module):
    """3D ViT over the visible patches of a volume in HU, RAS, at `spacing_mm`; its windows are applied inside."""

    cls_token: Tensor
    pos_embed: Tensor

    def __init__(self, recipe: ModelRecipe, ops: Ops) -> None:
        super().__init__()
        self.recipe = recipe
        self.spacing_mm, self.window, self.volume_size = recipe.spacing_mm, recipe.window, recipe.volume_size
        self.recompute = False
        self.patch_embed = PatchEmbed(recipe, ops)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, recipe.embed_dim))
        self.register_buffer("pos_embed", position_table(recipe.position_embedding, recipe.grid, recipe.embed_dim))
        blocks = [Block(recipe.embed_dim, recipe.num_heads, recipe.mlp_ratio) for _ in range(recipe.depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(recipe.embed_dim, eps=1e-6)
        initialize(self)
        if recipe.patch_bias == "uniform":
            assert self.patch_embed.proj.bias is not None
            limit = self.patch_embed.proj.weight[0].numel() ** -0.5
            nn.init.uniform_(self.patch_embed.proj.bias, -limit, limit)

    def forward(self, volume: AnyVolume, ids_keep: Int64[Tensor, "B L"] | None = None) -> Float[Tensor, "B L+1 E"]:
        """Same as `encode` with normalized output."""
        return self.encode(volume, ids_keep)

    def encode(
        self,
        volume: AnyVolume,
        ids_keep: Int64[Tensor, "B L"] | None = None,
        *,
        normalized: bool = True,
        spacing_mm: Sequence[float] | None = None,
    ) -> Float[Tensor, "B L+1 E"]:
        """Tokens of a volume, class token first.

        Args:
            volume: [B, 1, H, W, D] in HU, RAS, any dtype. Its size may differ from the recipe's as long as the patch
                divides it; the position table is then made anew for its grid.
            ids_keep: patches to look at; None looks at all of them.
            normalized: False leaves out the final LayerNorm.
            spacing_mm: of the voxels along x, y, z, where the caller wants it compared with the model's.

        Raises:
            InputError: no such tensor, or voxels of another spacing.
        """
        self._require(volume, spacing_mm)
        positions = self._positions(volume)
        volume = volume if volume.is_floating_point() or volume.dtype == torch.int16 else volume.float()
        tokens = self.patch_embed(volume, positions[0, 1:], ids_keep)
        cls_token = (self.cls_token + positions[:, :1]).expand(tokens.shape[0], -1, -1)
        tokens = run_blocks(self.blocks, torch.cat([cls_token, tokens], dim=1), recompute=self.recompute)
        return self.norm(tokens) if normalized else tokens

    def _require(self, volume: Any, spacing_mm: Sequence[float] | None) -> None:
        """Raise InputError on what cannot be read right."""
        takes = "encode takes a tensor [B, 1, H, W, D] in HU; simcrop.read_for(encoder, scan) makes one of any scan"
        if not isinstance(volume, Tensor):
            raise InputError(f"volume: is a {type(volume).__name__}; {takes}")
        if volume.dim() != 5 or volume.shape[1] != 1:
            raise InputError(f"volume: has the shape {list(volume.shape)}; {takes}")
        if spacing_mm is not None and not all(
            math.isclose(given, own, rel_tol=_SPACING) for given, own in zip(spacing_mm, self.spacing_mm, strict=True)
        ):
            given, own = (" x ".join(f"{mm:g}" for mm in each) for each in (spacing_mm, self.spacing_mm))
            raise InputError(f"volume: its voxels are {given} mm, and the model's {own} mm; {takes}")

    def _positions(self, volume: AnyVolume) -> Float[Tensor, "1 N+1 E"]:
        size = (volume.shape[2], volume.shape[3], volume.shape[4])
        if size == self.recipe.volume_size:
            return self.pos_embed
        grid = patch_grid(size, self.recipe.patch_size)
        return position_table(self.recipe.position_embedding, grid, self.recipe.embed_dim).to(self.pos_embed)


def initialize(module: nn.Module) -> None:
    """Linear and patch embedding xavier, biases 0, tokens N(0, 0.02), norms 1 and 0 (docs/method.md, section 2)."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Conv3d):
            nn.init.xavier_uniform_(part.weight.view(part.weight.shape[0], -1))
            nn.init.zeros_(part.bias)  # pyright: ignore[reportArgumentType]
    for name, parameter in module.named_parameters():
        if name.rpartition(".")[2] in ("cls_token", "mask_token"):
            nn.init.normal_(parameter, std=0.02)
