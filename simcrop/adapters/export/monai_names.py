"""The encoder's weights under the names of MONAI's ViT, and what that model computes with them.

MONAI's ViT without a classification head has no class token. Ours attends to its class token in every block, so without
it every patch token comes out a little different. `patch_tokens` says what MONAI's computes, `difference` by how much.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.core.model.encoder import VisionEncoder, run_blocks
from simcrop.core.model.patches import AnyVolume
from simcrop.core.recipe import ModelRecipe

_NAMES = {
    "patch_embed.proj.": "patch_embedding.patch_embeddings.",
    ".attn.proj.": ".attn.out_proj.",
    ".mlp.fc1.": ".mlp.linear1.",
    ".mlp.fc2.": ".mlp.linear2.",
}


def monai_weights(encoder: VisionEncoder) -> dict[str, Tensor]:
    """The state dict of `monai.networks.nets.ViT` (1.6), which holds a norm for cross-attention that it never uses."""
    weights = {"patch_embedding.position_embeddings": encoder.pos_embed[:, 1:].contiguous()}
    for name, value in encoder.state_dict().items():
        if name in ("cls_token", "pos_embed"):
            continue
        for ours, theirs in _NAMES.items():
            name = name.replace(ours, theirs)  # noqa: PLW2901
        weights[name] = value.contiguous()
    for number in range(encoder.recipe.depth):
        unused = f"blocks.{number}.norm_cross_attn"
        weights |= {f"{unused}.weight": torch.ones(encoder.recipe.embed_dim)}
        weights |= {f"{unused}.bias": torch.zeros(encoder.recipe.embed_dim)}
    return weights


def monai_arguments(recipe: ModelRecipe) -> dict[str, object]:
    """Arguments of `monai.networks.nets.ViT` for an encoder of this recipe."""
    return {
        "in_channels": recipe.input_channels,
        "img_size": recipe.volume_size,
        "patch_size": recipe.patch_size,
        "hidden_size": recipe.embed_dim,
        "mlp_dim": round(recipe.embed_dim * recipe.mlp_ratio),
        "num_layers": recipe.depth,
        "num_heads": recipe.num_heads,
        "proj_type": "conv",
        "pos_embed_type": "learnable",
        "qkv_bias": True,
        "classification": False,
        "spatial_dims": 3,
    }


@torch.no_grad()
def patch_tokens(encoder: VisionEncoder, volume: AnyVolume) -> Float[Tensor, "B N E"]:
    """Tokens of the encoder without its class token.

    Args:
        encoder: in eval mode.
        volume: [B, C, H, W, D] in HU, of the recipe's size.

    Returns:
        The patches' tokens after the final norm, in the order of `encode`.
    """
    tokens = encoder.patch_embed(volume, encoder.pos_embed[0, 1:], None)
    return encoder.norm(run_blocks(encoder.blocks, tokens, recompute=False))


@torch.no_grad()
def difference(encoder: VisionEncoder, volume: AnyVolume) -> float:
    """Length of the change that leaving out the class token makes, over the length of `encode`'s patch tokens."""
    complete = encoder.encode(volume)[:, 1:]
    return float((patch_tokens(encoder, volume) - complete).norm() / complete.norm())
