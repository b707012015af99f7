"""Weights of a vision encoder, wherever they lie: a checkpoint of ours, or a file in timm's names.

Such files are the authors' `simcrop.pth`, a masked autoencoder's .pth, or .safetensors (docs/method.md, section 2,
item 4). This is the only place that opens them.
"""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
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
from simcrop.adapters.system.pickles import why_unread
from simcrop.core.errors import CheckpointError

AUTHORS_FILE = "simcrop.pth"
MONAI_FILE = "monai_vit.safetensors"
Trained = Checkpoint | EncoderFile
"""Trained weights on this machine. Nobody asks which: both have the same members."""
OWN_KEY = "simcrop"
"""Beside `model` in a .pth of ours: the `model` section of the configuration, and the step."""
_SUFFIXES = {".pth", ".pt", ".bin", ".ckpt", ".safetensors"}


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
        raise CheckpointError(f"{path} cannot be read ({why_unread(error)}); name a file of tensors alone") from error
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


def _whole_or_part(path: Path, tensors: dict[str, Tensor]) -> EncoderFile:
    """An encoder's own tensors, or the encoder's part of a whole model of ours."""
    if f"{ENCODER}cls_token" not in tensors:
        return EncoderFile(path, tensors)
    others = tuple(name for name in tensors if not name.startswith(ENCODER))
    return EncoderFile(path, encoder_weights(tensors), others)
