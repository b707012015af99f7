"""A UNETR around our vision encoder, made of MONAI's blocks (docs/method.md, section 9)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from simcrop.adapters.evaluation.segmentation.monai_parts import (
    UnetOutBlock,
    UnetrBasicBlock,
    UnetResBlock,
    UnetrPrUpBlock,
    UnetrUpBlock,
)
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.model.patches import AnyVolume, apply_window, patch_grid
from simcrop.core.model.positions import position_table
from simcrop.core.recipe import Size

_NORM = "instance"


def skip_depths(depth: int) -> tuple[int, int, int]:
    """Blocks, counted from 1, after which the three skips leave an encoder: 4, 7 and 10 of 12, others in proportion."""
    first, second, third = (depth * quarter // 4 + 1 for quarter in (1, 2, 3))
    return first, second, third


class ResizeUpBlock(nn.Module):
    """The last stage up: any size to any other by trilinear interpolation, then a convolution, then as UNETR does."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        self.conv_block = UnetResBlock(3, 2 * out_channels, out_channels, kernel_size=3, stride=1, norm_name=_NORM)

    def forward(self, inp: Float[Tensor, "B C h w d"], skip: Float[Tensor, "B F H W D"]) -> Float[Tensor, "B F H W D"]:
        resized = interpolate(inp, size=skip.shape[2:], mode="trilinear", align_corners=False)
        return self.conv_block(torch.cat([self.conv(resized), skip], dim=1))


class UNETR(nn.Module):
    """Voxels to class scores: the tokens of four depths of a vision encoder, unfolded by a convolutional decoder.

    Differs from `monai.networks.nets.UNETR` where the paper's does: any patch, no class token, the encoder's fixed
    positions made anew for the grid of the region, and a last stage that interpolates, since three doublings of the
    grid need not end at half the region.

    Args:
        encoder: its patch embedding and blocks are trained on; its class token and final norm are left alone.
        num_classes: channels of the output, background included.
        roi_size: voxels of the region that the network sees; the patch must divide it.
        feature_size: channels at full resolution.
    """

    positions: Tensor

    def __init__(self, encoder: VisionEncoder, *, num_classes: int, roi_size: Size, feature_size: int) -> None:
        super().__init__()
        recipe, width, features = encoder.recipe, encoder.recipe.embed_dim, feature_size
        self.encoder = encoder
        self.num_classes, self.roi_size = num_classes, roi_size
        self.grid = patch_grid(roi_size, recipe.patch_size)
        self.skips = skip_depths(recipe.depth)
        table = position_table(recipe.position_embedding, self.grid, width)[0, 1:]
        self.register_buffer("positions", table, persistent=False)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.encoder1 = UnetrBasicBlock(3, recipe.in_channels, features, 3, 1, _NORM, res_block=True)
        self.encoder2 = _unfold(width, 2 * features, extra_doublings=2)
        self.encoder3 = _unfold(width, 4 * features, extra_doublings=1)
        self.encoder4 = _unfold(width, 8 * features, extra_doublings=0)
        self.decoder5 = UnetrUpBlock(3, width, 8 * features, 3, 2, _NORM, res_block=True)
        self.decoder4 = UnetrUpBlock(3, 8 * features, 4 * features, 3, 2, _NORM, res_block=True)
        self.decoder3 = UnetrUpBlock(3, 4 * features, 2 * features, 3, 2, _NORM, res_block=True)
        self.decoder2 = ResizeUpBlock(2 * features, features)
        self.out = UnetOutBlock(3, features, num_classes)

    def forward(self, volume: AnyVolume) -> Float[Tensor, "B classes H W D"]:
        """Scores before the softmax.

        Args:
            volume: [B, C, H, W, D] of the region's size, in HU; the model's window is applied.
        """
        shallow, middle, deep, last = self._features(volume)
        x = self.decoder5(self._unflatten(self.norm(last)), self.encoder4(deep))
        x = self.decoder4(x, self.encoder3(middle))
        x = self.decoder3(x, self.encoder2(shallow))
        return self.out(self.decoder2(x, self.encoder1(apply_window(volume, self.encoder.window))))

    def _features(self, volume: AnyVolume) -> Sequence[Tensor]:
        """Tokens after the three skip blocks, each as a grid [B, E, gH, gW, gD], and after the last one as a list."""
        x = self.encoder.patch_embed(volume, self.positions, None)
        after = [x := block(x) for block in self.encoder.blocks]
        return *(self._unflatten(after[number - 1]) for number in self.skips), after[-1]

    def _unflatten(self, tokens: Float[Tensor, "B N E"]) -> Float[Tensor, "B E gH gW gD"]:
        return tokens.transpose(1, 2).unflatten(2, self.grid)


def _unfold(width: int, features: int, *, extra_doublings: int) -> UnetrPrUpBlock:
    """A skip's way up: tokens to voxel features, the grid doubled once and `extra_doublings` times more."""
    return UnetrPrUpBlock(3, width, features, extra_doublings, 3, 1, 2, _NORM, conv_block=True, res_block=True)
