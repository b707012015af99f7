"""The encoder in MONAI's ViT computes what the encoder computes without its class token."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.tiny import MODEL
from torch import nn

from simcrop.adapters.export.monai_names import difference, monai_arguments, monai_weights, patch_tokens
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.model.patches import apply_window
from simcrop.core.reference import REFERENCE

monai = pytest.importorskip("monai.networks.nets")
RECIPE = replace(MODEL, volume_size=(16, 8, 12), patch_size=(4, 4, 2), embed_dim=24, depth=3, window=(-500.0, 300.0))


def make_encoder(**changes: Any) -> VisionEncoder:
    """An encoder whose every tensor matters, biases and norms included."""
    torch.manual_seed(3)
    encoder = VisionEncoder(replace(RECIPE, **changes), REFERENCE).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return encoder


def volume(encoder: VisionEncoder) -> torch.Tensor:
    recipe = encoder.recipe
    return torch.randint(-1200, 1500, (2, recipe.in_channels, *recipe.volume_size), dtype=torch.int16)


def in_monai(encoder: VisionEncoder) -> nn.Module:
    vit = monai.ViT(**monai_arguments(encoder.recipe)).eval()
    vit.load_state_dict(monai_weights(encoder))
    for module in vit.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-6
    return vit


@pytest.mark.parametrize(
    "changes",
    [{}, {"position_embedding": "sincos_hw"}, {"in_channels": 2, "mlp_ratio": 2.5}, {"embed_dim": 32, "num_heads": 4}],
    ids=str,
)
def test_monai_computes_the_same(changes: dict[str, Any]) -> None:
    encoder = make_encoder(**changes)
    vit, x = in_monai(encoder), volume(encoder)
    with torch.no_grad():
        tokens, after_each_block = vit(apply_window(x, encoder.window))
        single = patch_tokens(encoder, x)
        exact, _ = vit.double()(apply_window(x, encoder.window, torch.float64))
    # Exact in double precision; in single, both round, by some units in the last place of the largest values.
    torch.testing.assert_close(exact, patch_tokens(encoder.double(), x), rtol=0, atol=1e-12)
    assert (tokens - single).abs().max() <= 1e-6 * single.abs().max()
    assert len(after_each_block) == encoder.recipe.depth


def test_under_several_windows_monai_is_given_their_channels() -> None:
    windows = ((-1000.0, 1000.0), (-150.0, 250.0))
    encoder = make_encoder(windows=windows).double()
    x = volume(encoder)
    with torch.no_grad():
        stacked = torch.cat([apply_window(x, window, torch.float64) for window in windows], 1)
        tokens, _ = in_monai(encoder).double()(stacked)
    torch.testing.assert_close(tokens, patch_tokens(encoder, x), rtol=0, atol=1e-12)


def test_the_difference_is_that_of_the_class_token() -> None:
    encoder = make_encoder()
    x = volume(encoder)
    complete, without = encoder.encode(x)[:, 1:], patch_tokens(encoder, x)
    assert difference(encoder, x) == pytest.approx(((without - complete).norm() / complete.norm()).item(), rel=1e-5)
    assert difference(encoder, x) > 1e-3
    # Where nobody attends to another token, the class token makes no difference.
    with torch.no_grad():
        for block in encoder.blocks:
            block.attn.qkv.weight[2 * 24 :] = 0
            block.attn.qkv.bias[2 * 24 :] = 0
    assert difference(encoder, x) < 1e-6
