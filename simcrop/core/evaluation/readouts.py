"""Read a volume out of a trained model: several feature vectors a volume, from one pass of the encoder.

A row holds, side by side, the mean patch token after the last block, the maximum over these tokens, the mean tokens
after lower blocks and, of a model that matches sentences, the scores of prototypes. A read-out is some of its columns.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from simcrop.core.evaluation.features import mean_patch_token, model_features
from simcrop.core.evaluation.prototypes import prototype_scores
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.model.patches import AnyVolume
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.recipe import ModelRecipe

TokenReadOut = Literal["encoder", "max", "layers"]
"""What an encoder alone allows."""
ReadOut = TokenReadOut | Literal["prototypes"]
TOKEN_READ_OUTS: tuple[TokenReadOut, ...] = ("encoder", "max", "layers")


def read_depths(depth: int) -> list[int]:
    """Blocks, counted from 1, whose tokens are read: those that end each quarter of the encoder."""
    return sorted({-(-depth * quarter // 4) for quarter in (1, 2, 3, 4)})


@torch.no_grad()
def token_rows(encoder: VisionEncoder, volume: AnyVolume) -> Float[Tensor, "B F"]:
    """Rows of unmasked volumes in HU without the scores of prototypes, float32."""
    return rows_and_tokens(encoder, volume)[0]


@torch.no_grad()
def rows_and_tokens(encoder: VisionEncoder, volume: AnyVolume) -> tuple[Float[Tensor, "B F"], Float[Tensor, "B N+1 E"]]:
    """`token_rows`, and the encoder's tokens after the final norm, class token first."""
    with _blocks_recorded(encoder) as after:
        tokens = encoder.encode(volume)
    return _token_row(after), tokens


@torch.no_grad()
def model_rows(model: SimCroP, volume: AnyVolume, centres: Float[Tensor, "m dim"]) -> Float[Tensor, "B F"]:
    """Rows of unmasked volumes in HU, of a model that matches sentences, float32.

    Args:
        model: in eval mode.
        volume: HU.
        centres: from `prototypes`, on the model's device.
    """
    with _blocks_recorded(model.encoder) as after:
        _, patches = model_features(model, volume)
    assert patches is not None
    return torch.cat([_token_row(after), prototype_scores(patches, centres)], dim=1)


def read_out(rows: Float[Tensor, "n F"], name: ReadOut, recipe: ModelRecipe) -> Float[Tensor, "n G"]:
    """The columns of a read-out.

    Args:
        rows: from `token_rows` or `model_rows`.
        name: encoder, the mean token; max, the maximum beside it; layers, the mean tokens of lower blocks beside it;
            prototypes, their scores alone.
        recipe: of the encoder.
    """
    width = recipe.embed_dim
    mean, maximum, lower, scores = rows.tensor_split(
        [width, 2 * width, (1 + len(read_depths(recipe.depth))) * width], dim=1
    )
    parts = {"encoder": [mean], "max": [mean, maximum], "layers": [mean, lower], "prototypes": [scores]}
    return torch.cat(parts[name], dim=1)


def _token_row(after: list[Tensor]) -> Float[Tensor, "B F"]:
    lower = [mean_patch_token(after[depth - 1]) for depth in read_depths(len(after))[:-1]]
    return torch.cat([mean_patch_token(after[-1]), after[-1][:, 1:].float().amax(1), *lower], dim=1)


@contextmanager
def _blocks_recorded(encoder: VisionEncoder) -> Generator[list[Tensor]]:
    """Gives a list that the tokens after every block are put into while the encoder runs once."""
    after: list[Tensor] = []

    def record(_block: nn.Module, _inputs: Any, tokens: Tensor) -> None:
        after.append(tokens)

    handles = [block.register_forward_hook(record) for block in encoder.blocks]
    try:
        yield after
    finally:
        for handle in handles:
            handle.remove()
