"""A vision encoder with a linear head for findings or classes (docs/method.md, section 9)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from simcrop.core.evaluation.features import mean_patch_token
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.model.patches import AnyVolume

HEAD_STD = 2e-5
"""Spread of the head's initial weights."""


class Classifier(nn.Module):
    """Mean patch token after the last block, LayerNorm, Linear.

    Args:
        encoder: its final norm is not used, as the norm of the head stands in its place.
        num_outputs: findings or classes.
        frozen: train the linear layer alone; encoder and norm stay as they are.
    """

    def __init__(self, encoder: VisionEncoder, num_outputs: int, *, frozen: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.fc_norm = nn.LayerNorm(encoder.recipe.embed_dim, eps=1e-6)
        self.head = nn.Linear(encoder.recipe.embed_dim, num_outputs)
        nn.init.trunc_normal_(self.head.weight, std=HEAD_STD)
        nn.init.zeros_(self.head.bias)
        self.frozen = frozen
        encoder.requires_grad_(not frozen)
        encoder.norm.requires_grad_(False)
        self.fc_norm.requires_grad_(not frozen)

    def forward(self, volume: AnyVolume) -> Float[Tensor, "B C"]:
        """Logits of whole volumes in HU."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = mean_patch_token(self.encoder.encode(volume, normalized=False))
        return self.classify(features)

    def classify(self, features: Float[Tensor, "B E"]) -> Float[Tensor, "B C"]:
        """Logits of mean patch tokens, float32."""
        return self.head(self.fc_norm(features)).float()


def classification_loss(
    logits: Float[Tensor, "B C"], truth: Bool[Tensor, "B C"], *, exclusive: bool
) -> Float[Tensor, ""]:
    """Cross-entropy: of exclusive classes, or the mean over findings, each present or absent."""
    if exclusive:
        return functional.cross_entropy(logits, truth.double().argmax(1))
    return functional.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype))


def probabilities(logits: Float[Tensor, "B C"], *, exclusive: bool) -> Float[Tensor, "B C"]:
    """Probability of every class, or of every finding by itself, float64 on the CPU."""
    logits = logits.detach().double().cpu()
    return logits.softmax(1) if exclusive else logits.sigmoid()


def layer_scale(name: str, *, depth: int, layer_decay: float) -> float:
    """Factor of a parameter's learning rate: 1 for the head, `layer_decay` less a block from there down.

    Args:
        name: of the parameter in a Classifier. Patch embedding and class token are one layer below the first block.
        depth: blocks of the encoder.
        layer_decay: 1 gives every layer the same learning rate.
    """
    return layer_decay ** (depth + 1 - _layer(name, depth))


def _layer(name: str, depth: int) -> int:
    """0 for what makes the tokens, 1 to depth for the blocks, depth + 1 for the head."""
    if not name.startswith("encoder."):
        return depth + 1
    parts = name.split(".")
    return int(parts[2]) + 1 if parts[1] == "blocks" else 0
