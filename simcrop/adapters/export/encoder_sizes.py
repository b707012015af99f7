"""Sizes of an encoder, and of what it reads, in the names of the code that exports carry."""

from typing import Any

from simcrop.core.errors import CheckpointError
from simcrop.core.recipe import ModelRecipe, Size


def encoder_sizes(recipe: ModelRecipe) -> dict[str, Any]:
    """Arguments of `standalone.vision.VisionEncoder`, as JSON has them.

    Raises:
        CheckpointError: the encoder reads more than one channel, and a scan has one.
    """
    if recipe.in_channels != 1:
        raise CheckpointError(
            f"model.in_channels: {recipe.in_channels} cannot be exported with code that reads scans, which have one "
            f"channel; take --format simcrop, authors or monai"
        )
    return {
        "volume_size": list(recipe.volume_size),
        "patch_size": list(recipe.patch_size),
        "windows": [list(window) for window in recipe.input_windows],
        "hidden_size": recipe.embed_dim,
        "num_hidden_layers": recipe.depth,
        "num_attention_heads": recipe.num_heads,
        "intermediate_size": round(recipe.embed_dim * recipe.mlp_ratio),
        "position_embedding": recipe.position_embedding,
    }


def input_sizes(recipe: ModelRecipe, grid_size: Size) -> dict[str, Any]:
    """Arguments of `standalone.scan.model_input`; `grid_size` as prepared volumes have it."""
    return {
        "spacing_mm": list(recipe.spacing_mm),
        "grid_size": list(grid_size),
        "volume_size": list(recipe.volume_size),
    }
