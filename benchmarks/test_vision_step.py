"""The vision half of a ViT-B pre-training step against MONAI's masked autoencoder of the same shapes.

One study of 224 x 224 x 112 voxels, patches of 16 x 16 x 8, a quarter visible; encoder 768 x 12, decoder 768 x 4; loss
on masked patches; forward and backward. On a CPU in fp32, on a GPU under bf16 autocast.
"""

from collections.abc import Callable

import pytest
import torch
from contest import AGAIN
from measuring import DEVICE
from support.kernel_inputs import Draw
from torch import Tensor, nn

from simcrop.core.model.decoder import VolumeDecoder
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.model.masking import draw_patch_mask
from simcrop.core.model.patches import apply_window, patchify
from simcrop.core.recipe import PRESETS, ModelRecipe
from simcrop.core.reference import REFERENCE
from simcrop.kernels import TRITON

STUDIES = 32 if DEVICE.type == "cuda" else 1
RECIPE = ModelRecipe(preset="vit_b", **PRESETS["vit_b"]["model"])
OPS = TRITON if DEVICE.type == "cuda" else REFERENCE


class Ours(nn.Module):
    """Encoder, decoder and loss as the training step puts them together."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = VisionEncoder(RECIPE, OPS), VolumeDecoder(RECIPE)

    def forward(self, volume: Tensor, ids_keep: Tensor, ids_masked: Tensor) -> Tensor:
        tokens = self.encoder(volume, ids_keep)
        pred = self.decoder(tokens, ids_keep, ids_masked)
        return OPS.masked_patch_mse(
            pred, volume, ids_masked, patch_size=RECIPE.patch_size, window=RECIPE.window, normalize_patches=True
        )


class Monai(nn.Module):
    """monai.networks.nets.MaskedAutoEncoderViT with the loss that its masked autoencoder tutorial takes."""

    def __init__(self) -> None:
        super().__init__()
        nets = pytest.importorskip("monai.networks.nets")
        self.net = nets.MaskedAutoEncoderViT(
            in_channels=1,
            img_size=RECIPE.volume_size,
            patch_size=RECIPE.patch_size,
            hidden_size=RECIPE.embed_dim,
            mlp_dim=round(RECIPE.embed_dim * RECIPE.mlp_ratio),
            num_layers=RECIPE.depth,
            num_heads=RECIPE.num_heads,
            masking_ratio=RECIPE.mask_ratio,
            decoder_hidden_size=RECIPE.decoder_dim,
            decoder_mlp_dim=round(RECIPE.decoder_dim * RECIPE.mlp_ratio),
            decoder_num_layers=RECIPE.decoder_depth,
            decoder_num_heads=RECIPE.decoder_heads,
            qkv_bias=True,
        )

    def forward(self, volume: Tensor, *_: Tensor) -> Tensor:
        voxels = apply_window(volume, RECIPE.window)
        pred, mask = self.net(voxels)
        target = patchify(voxels, RECIPE.patch_size)
        variance, mean = torch.var_mean(target, dim=2, keepdim=True)
        error = (pred.float() - (target - mean) / (variance + 1e-6).sqrt()).square().mean(2)
        return (error * mask).sum() / mask.sum()


@pytest.mark.parametrize("name", ["simcrop", f"simcrop{AGAIN}", "MONAI MaskedAutoEncoderViT"])
def test_forward_and_backward(name: str, measure: Callable[..., None]) -> None:
    torch.manual_seed(0)
    model = (Ours() if name.startswith("simcrop") else Monai()).to(DEVICE).train()
    volume = Draw().volume(STUDIES, 1, *RECIPE.volume_size, dtype=torch.int16).to(DEVICE)
    masks = [draw_patch_mask(RECIPE.num_patches, RECIPE.num_visible, Draw(b).generator) for b in range(STUDIES)]
    ids_keep, ids_masked = (torch.stack(ids).to(DEVICE) for ids in zip(*masks, strict=True))

    def step() -> Tensor:
        model.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
            loss = model(volume, ids_keep, ids_masked)
        loss.backward()
        return loss

    assert step().isfinite()
    flops = STUDIES * 1e9 * (402 + 744 + 19 + 4 + 2)
    measure(
        "vision half of a ViT-B step",
        name,
        step,
        flops=flops,
        num_bytes=0.0,
        rounds=3,
    )
