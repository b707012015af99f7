"""Weights of a vision encoder, wherever they lie: a checkpoint of ours, or a file in timm's names.

Such files are the authors' `simcrop.pth`, a masked autoencoder's .pth, or .safetensors (docs/method.md, section 2,
item 4). This is the only place that opens them.
"""

import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from simcrop.adapters.checkpoints.folder import (
    ENCODER,
    WEIGHTS,
    Checkpoint,
    encoder_weights,
    find_checkpoint,
    open_checkpoint,
)
from simcrop.adapters.checkpoints.foreign_encoder import EncoderFile
from simcrop.core.errors import CheckpointError, ConfigError
from simcrop.core.model.encoder import VisionEncoder

AUTHORS_FILE = "simcrop.pth"
MONAI_FILE = "monai_vit.safetensors"
Trained = Checkpoint | EncoderFile
"""Trained weights on this machine. Nobody asks which: both have the same members."""
OWN_KEY = "simcrop"
"""Beside `model` in a .pth of ours: the `model` section of the configuration, and the step."""
_SUFFIXES = {".pth", ".pt", ".bin", ".ckpt", ".safetensors"}
_EMBEDDING = "patch_embed.proj.weight"
_FORBIDDEN_NAME = re.compile(r"GLOBAL ([\w.]+)")


def is_weights_name(path: Path) -> bool:
    """Whether a path is called like a file of weights, whether or not it exists."""
    return path.suffix in _SUFFIXES


def open_weights(path: Path) -> Trained:
    """What a path on this machine means.

    Args:
        path: a run folder (its latest checkpoint), a checkpoint, an exported folder, or a file of weights.

    Raises:
        CheckpointError: nothing there, weights for MONAI alone, or it cannot be read.
    """
    if (path / AUTHORS_FILE).is_file():
        return read_encoder_file(path / AUTHORS_FILE)
    if path.name == WEIGHTS and (path.parent / "manifest.json").is_file():
        return open_checkpoint(path.parent)
    if path.name == MONAI_FILE or (path / MONAI_FILE).is_file():
        raise CheckpointError(
            f"{path}: holds weights for MONAI's ViT, without the class token; load them as its README.md says, or take "
            f"the checkpoint that they were exported from"
        )
    if path.is_file() or is_weights_name(path):
        return read_encoder_file(path)
    return find_checkpoint(path)


def read_encoder_file(path: Path) -> EncoderFile:
    """The content of a file of weights.

    Args:
        path: .safetensors, or a torch file of tensors, plain values and `argparse.Namespace`: the tensors plain or
            under the key `model`.

    Raises:
        CheckpointError: it cannot be read, or its pickle asks for anything else, which is not run.
    """
    try:
        if path.suffix == ".safetensors":
            return _whole_or_part(path, load_file(path))
        with torch.serialization.safe_globals([Namespace]):
            tree: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no such file fails inside the unpickler in any way, IndexError included
        raise CheckpointError(f"{path} cannot be read ({_reason(error)}); name a file of tensors alone") from error
    tree = tree if isinstance(tree, dict) else {}
    inner = tree.get("model")
    below = isinstance(inner, Mapping)
    tensors = inner if below else tree
    own = tree.get(OWN_KEY)
    own = own if isinstance(own, Mapping) else {}
    others = [*(str(name) for name in tree if name not in ("model", OWN_KEY))] if below else []
    others += [str(name) for name, value in tensors.items() if not isinstance(value, Tensor)]
    return EncoderFile(
        path,
        {str(name): value for name, value in tensors.items() if isinstance(value, Tensor)},
        tuple(others),
        model=own.get("model"),
        step=own.get("step"),
    )


def start_from(encoder: VisionEncoder, path: Path) -> None:
    """Put the weights of a file or run into a new encoder.

    Blocks and final norm must all be there and fit; patch embedding and class token are taken where they fit (those of
    a 2D model do not, those of other windows are refused), the position table is always the recipe's.

    Args:
        encoder: its weights are replaced.
        path: as for `open_weights`.

    Raises:
        ConfigError: the file cannot be read, or is not of this encoder's width and depth.
    """
    try:
        found = open_weights(path).encoder_weights()
    except CheckpointError as error:
        raise ConfigError(f"model.init: {error}") from error
    own = encoder.state_dict()
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
    embedding, needed = found.get(_EMBEDDING), own[_EMBEDDING]
    if _EMBEDDING not in taken and embedding is not None and _but_channels(embedding) == _but_channels(needed):
        raise ConfigError(
            f"model.init: {path} does not fit: {_EMBEDDING} has {embedding.shape[1]} channels, the model needs "
            f"{needed.shape[1]}; set model.windows to those of the file"
        )
    encoder.load_state_dict(own | taken)


def _but_channels(weight: Tensor) -> tuple[int, ...]:
    """The shape of a convolution's weight without the channels that it reads."""
    return (len(weight), *weight.shape[2:])


def _whole_or_part(path: Path, tensors: dict[str, Tensor]) -> EncoderFile:
    """An encoder's own tensors, or the encoder's part of a whole model of ours."""
    if f"{ENCODER}cls_token" not in tensors:
        return EncoderFile(path, tensors)
    others = tuple(name for name in tensors if not name.startswith(ENCODER))
    return EncoderFile(path, encoder_weights(tensors), others)


def _reason(error: Exception) -> str:
    message = " ".join(str(error).split())
    forbidden = _FORBIDDEN_NAME.search(message)
    if forbidden is not None:
        return f"its pickle asks for {forbidden[1]}, which was not run; only tensors and argparse.Namespace are read"
    if isinstance(error, UnpicklingError):
        return "its pickle holds more than tensors, or is damaged"  # torch's own advice is to read it unsafely
    return getattr(error, "strerror", None) or message[:200] or type(error).__name__
