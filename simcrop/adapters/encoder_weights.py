"""Weights to start a vision encoder from: a run of ours, or a file in timm's names (docs/method.md, section 2)."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from simcrop.adapters.checkpoint_folder import find_checkpoint
from simcrop.core.encoder import VisionEncoder
from simcrop.core.errors import ConfigError

_PREFIX = "encoder."


def encoder_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The vision encoder's part of a whole model's weights, in timm's names."""
    return {name.removeprefix(_PREFIX): value for name, value in weights.items() if name.startswith(_PREFIX)}


def start_from(encoder: VisionEncoder, path: Path) -> None:
    """Put the weights of a file or run into a new encoder.

    Blocks and final norm must all be there and fit; patch embedding and class token are taken where they fit (those of
    a 2D model do not), the position table is always the recipe's.

    Args:
        encoder: its weights are replaced.
        path: run or checkpoint folder, .safetensors, or a torch file of tensors, plain or under the key `model`.

    Raises:
        ConfigError: the file cannot be read, or is not of this encoder's width and depth.
    """
    found, own = _read(path), encoder.state_dict()
    taken = {
        name: value
        for name, value in found.items()
        if name in own and name != "pos_embed" and value.shape == own[name].shape
    }
    lacking = [name for name in own if name.startswith(("blocks.", "norm.")) and name not in taken]
    if lacking:
        shape = tuple(found[lacking[0]].shape) if lacking[0] in found else "absent"
        raise ConfigError(
            f"model.init: {path} does not fit: {lacking[0]} is {shape}, the model needs "
            f"{tuple(own[lacking[0]].shape)}; change model.embed_dim and model.depth, or write scratch"
        )
    encoder.load_state_dict(own | taken)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.is_dir():
            return encoder_weights(find_checkpoint(path).weights())
        if path.suffix == ".safetensors":
            return load_file(path)
        tree: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError, UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"model.init: {path} cannot be read ({reason}); name a file of tensors alone") from error
    tree = tree.get("model", tree) if isinstance(tree, dict) else {}
    return {str(name): value for name, value in tree.items() if isinstance(value, Tensor)}
