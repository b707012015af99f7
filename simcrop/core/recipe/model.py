"""Sizes of the network."""

from dataclasses import dataclass
from math import prod
from typing import Literal

from simcrop.core.ops import PatchSize, Window
from simcrop.core.recipe.section import (
    MOST_BLOCKS,
    MOST_WIDTH,
    Section,
    Size,
    require,
    require_divisible,
    require_few_voxels,
)

_MOST_PATCHES = 1 << 20
_MOST_LOCAL_VALUES = 1 << 25
"""Of the table of places of the local path, four times that of `vit_b`; no checkpoint holds it."""
_MOST_RATIO = 64
_MOST_SPACING_MM = 1000.0


@dataclass(frozen=True)
class ModelRecipe(Section):
    """Sizes of the network and how a volume becomes tokens (docs/method.md, sections 1 to 5)."""

    preset: Literal["tiny", "vit_b"] = "tiny"
    """Named set of defaults for every other key of this section and for `top_k`."""
    in_channels: int = 1
    """Channels of a volume; CT has one."""
    volume_size: Size = (96, 96, 48)
    """Voxels along x (left to right), y (back to front), z (feet to head) that the model sees."""
    patch_size: PatchSize = (12, 12, 6)
    """Voxels of one patch; must divide volume_size."""
    spacing_mm: tuple[float, float, float] = (3.5, 3.5, 7.0)
    """Voxel spacing of the model's grid, mm."""
    window: Window = (-1000.0, 1000.0)
    """HU range mapped to [-1, 1]."""
    windows: tuple[Window, ...] | None = None
    """1 to 16 HU ranges, each a channel of the patch embedding, as in [[-1000, 1000], [-150, 250]]; null: `window`.
    What is rebuilt, and what counts as air, is told by `window` alone."""
    mask_ratio: float = 0.75
    """Share of patches hidden from the encoder."""
    visible_rounding: Literal["nearest", "down"] = "nearest"
    """How the number of visible patches becomes whole. nearest: that of the hidden ones is rounded; down (paper)."""
    patch_bias: Literal["zero", "uniform"] = "zero"
    """Start of the patch embedding's bias; uniform (paper): within one over the square root of a patch's values."""
    embed_dim: int = 128
    """Width of the encoder."""
    depth: int = 4
    """Blocks of the encoder."""
    num_heads: int = 4
    """Attention heads of an encoder block."""
    mlp_ratio: float = 4.0
    """Hidden width of an MLP over the width of its block."""
    position_embedding: Literal["sincos3d", "sincos_hw"] = "sincos3d"
    """sincos3d encodes all three axes; sincos_hw (paper) leaves depth out."""
    ignore_air: bool = True
    """Patches of nothing but air are never the place of a sentence; False (paper) lets them be."""
    local_patch_size: PatchSize | Literal["half"] | None = "half"
    """Voxels of a patch of the local path, which sentences are compared with instead of the encoder's tokens; half:
    half of patch_size on every axis where that is whole; null (paper): no local path."""
    local_dim: int = 128
    """Width of the local path."""
    local_depth: int = 1
    """MLPs that the local path applies to every patch."""
    local_keep: float = 0.25
    """Share of a volume's local patches that a training step looks at, those of tissue first."""
    init: str = "scratch"
    """scratch, or the path of encoder weights to start from: a run, or a file with timm's names (docs/ct-rate.md)."""
    init_patches: Literal["fitting", "inflated"] = "fitting"
    """Patch embedding of model.init. fitting (paper): taken where it has the model's shape, which a 2D one never has;
    inflated: that of a 2D model, summed over colours, repeated along z and divided by the voxels there."""
    decoder_dim: int = 64
    """Width of the volume decoder."""
    decoder_depth: int = 1
    """Blocks of the volume decoder."""
    decoder_heads: int = 2
    """Attention heads of a volume decoder block."""
    projection_dim: int = 96
    """Width shared by image and text: of the alignment heads, the fusion layer and the text decoder."""
    fusion_heads: int = 3
    """Attention heads of the fusion layer and of the text decoder's layers."""
    fusion_mlp_dim: int = 192
    """Hidden width of the feed-forward parts of the fusion layer and of the text decoder's layers."""
    text_decoder_depth: int = 1
    """Layers of the text decoder."""
    dropout: float = 0.0
    """Dropout of the fusion layer and the text decoder."""
    attention_dropout: float = 0.0
    """Dropout of their attention probabilities (paper 0.1)."""

    def __post_init__(self) -> None:
        self._check_bounds()
        self._at_least(1, "in_channels")
        for axis, (size, patch) in enumerate(zip(self.volume_size, self.patch_size, strict=True)):
            require(patch >= 1 and size >= 1, f"patch_size: axis {axis} has a size below 1")
            require(
                size % patch == 0,
                f"volume_size: {size} voxels on axis {axis} are not divisible by patch_size {patch}; "
                f"take {max(1, round(size / patch)) * patch}",
            )
        require(self.num_patches <= _MOST_PATCHES, f"patch_size: {self.num_patches:,} patches of a volume are too many")
        require(all(s > 0 for s in self.spacing_mm), "spacing_mm: every value must be above 0")
        require(self.window[0] < self.window[1], f"window: low {self.window[0]} is not below high {self.window[1]}")
        require(1 <= len(self.input_windows) <= 16, f"windows: {len(self.input_windows)} are not 1 to 16; null for one")
        for low, high in self.input_windows:
            require(low < high, f"windows: low {low} is not below high {high}")
        require(
            self.init != "scratch" or self.init_patches == "fitting",
            "init_patches: inflated needs the file of a 2D model as init, and that is scratch",
        )
        self._within("[0, 1)", "mask_ratio")
        require(self.num_visible >= 1, f"mask_ratio: {self.mask_ratio} leaves no visible patch of {self.num_patches}")
        require_divisible("embed_dim", self.embed_dim, "num_heads", self.num_heads)
        require_divisible("decoder_dim", self.decoder_dim, "decoder_heads", self.decoder_heads)
        require_divisible("projection_dim", self.projection_dim, "fusion_heads", self.fusion_heads)
        if self.position_embedding == "sincos_hw":
            for key in ("embed_dim", "decoder_dim"):
                require(getattr(self, key) % 2 == 0, f"{key}: sincos_hw needs an even width, not {getattr(self, key)}")
        self._within("[0, 1)", "dropout", "attention_dropout")
        self._at_least(1, "depth", "decoder_depth", "text_decoder_depth", "fusion_mlp_dim")
        self._check_local_path()

    def _check_bounds(self) -> None:
        """Refuse what no computer has room for: these sizes may come from a file that somebody else has written."""
        self._at_most(MOST_WIDTH, "in_channels", "embed_dim", "decoder_dim", "projection_dim", "fusion_mlp_dim")
        self._at_most(MOST_WIDTH, "local_dim")
        self._at_most(MOST_BLOCKS, "depth", "decoder_depth", "text_decoder_depth", "local_depth")
        self._above_zero("mlp_ratio")
        self._at_most(_MOST_RATIO, "mlp_ratio")
        require(max(self.spacing_mm) <= _MOST_SPACING_MM, f"spacing_mm: {max(self.spacing_mm):g} is above a metre")
        require_few_voxels("volume_size", self.volume_size)

    def _check_local_path(self) -> None:
        if self.local is not None:
            for axis, (size, patch) in enumerate(zip(self.volume_size, self.local, strict=True)):
                require(
                    patch >= 1 and size % patch == 0,
                    f"local_patch_size: {patch} voxels on axis {axis} do not divide the {size} of volume_size",
                )
            values = prod(self.matched_grid) * self.local_dim
            require(values <= _MOST_LOCAL_VALUES, f"local_patch_size: {prod(self.matched_grid):,} patches are too many")
        self._at_least(6, "local_dim")
        self._at_least(0, "local_depth")
        self._within("(0, 1]", "local_keep")

    @property
    def grid(self) -> Size:
        """Patches along each axis."""
        x, y, z = (size // patch for size, patch in zip(self.volume_size, self.patch_size, strict=True))
        return x, y, z

    @property
    def num_patches(self) -> int:
        """N, patches of a volume."""
        return self.grid[0] * self.grid[1] * self.grid[2]

    @property
    def num_visible(self) -> int:
        """L, patches that the encoder sees in training: N - round(mask_ratio * N), or int(N * (1 - mask_ratio))."""
        if self.visible_rounding == "down":
            return int(self.num_patches * (1 - self.mask_ratio))
        return self.num_patches - round(self.mask_ratio * self.num_patches)

    @property
    def local(self) -> PatchSize | None:
        """Voxels of a patch of the local path; None without one."""
        if self.local_patch_size != "half":
            return self.local_patch_size
        x, y, z = (patch // 2 if patch % 2 == 0 else patch for patch in self.patch_size)
        return x, y, z

    @property
    def matched_patch_size(self) -> PatchSize:
        """Voxels of a patch that sentences are compared with."""
        return self.patch_size if self.local is None else self.local

    @property
    def matched_grid(self) -> Size:
        """Such patches along each axis."""
        x, y, z = (size // patch for size, patch in zip(self.volume_size, self.matched_patch_size, strict=True))
        return x, y, z

    @property
    def num_matched(self) -> int:
        """Patches of a volume that late interaction compares with sentences in a training step."""
        return self.num_visible if self.local is None else max(1, round(self.local_keep * prod(self.matched_grid)))

    @property
    def patch_values(self) -> int:
        """P, values of one patch over all channels."""
        return self.in_channels * self.patch_size[0] * self.patch_size[1] * self.patch_size[2]

    @property
    def input_windows(self) -> tuple[Window, ...]:
        """Windows under which the encoder reads a volume."""
        return (self.window,) if self.windows is None else self.windows

    @property
    def input_channels(self) -> int:
        """Channels of the patch embedding's weight: those of a volume under the first window, then the next."""
        return self.in_channels * len(self.input_windows)
