"""Weights of a vision encoder, wherever they lie: a checkpoint of ours, or a file in timm's names.

Such files are the authors' `simcrop.pth`, a masked autoencoder's .pth, or .safetensors (docs/method.md, section 2,
item 4). This is the only place that opens them.
"""

import zipfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
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
from simcrop.adapters.checkpoints.tensor_files import check_names, load_tensors
from simcrop.adapters.system.outside_files import require_regular
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
    remedy = "name a file of tensors alone"
    if path.suffix == ".safetensors":
        return _whole_or_part(path, load_tensors(path, remedy))
    try:
        _check_parts(path, require_regular(path))
        with torch.serialization.safe_globals([Namespace]):
            tree: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no such file fails inside the unpickler in any way, IndexError included
        raise CheckpointError(f"{path}: cannot be read ({why_unread(error)}); {remedy}") from error
    tree = tree if isinstance(tree, dict) else {}
    inner = tree.get("model")
    below = isinstance(inner, Mapping)
    tensors = inner if below else tree
    own = tree.get(OWN_KEY)
    own = own if isinstance(own, Mapping) else {}
    others = [*(str(name) for name in tree if name not in ("model", OWN_KEY))] if below else []
    others += [str(name) for name, value in tensors.items() if not isinstance(value, Tensor)]
    found = {str(name): value for name, value in tensors.items() if isinstance(value, Tensor)}
    check_names(path, [*found, *others], remedy)
    for name, value in found.items():
        if not _is_whole(value):
            raise CheckpointError(
                f"{path}: {name} of the shape {tuple(value.shape)} has fewer numbers in the file than that; {remedy}"
            )
    model, step = own.get("model"), own.get("step")
    return EncoderFile(
        path,
        found,
        tuple(others),
        model=model if isinstance(model, Mapping) else None,
        step=step if isinstance(step, int) else None,
    )


def _check_parts(path: Path, num_bytes: int) -> None:
    """Raise ValueError where the parts of a torch file, which is a zip, are larger than itself.

    Torch stores them as they are. Compressed ones would take memory a thousand times as large as the file.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            parts = sum(part.file_size for part in file.infolist())
        if parts > num_bytes:
            raise ValueError(f"its parts are to have {parts:,} bytes, and the file has {num_bytes:,}")


def _is_whole(tensor: Tensor) -> bool:
    """Whether every number of a tensor lies in memory, as none does that is sparse or the same one many times."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_nested:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _whole_or_part(path: Path, tensors: dict[str, Tensor]) -> EncoderFile:
    """An encoder's own tensors, or the encoder's part of a whole model of ours."""
    if f"{ENCODER}cls_token" not in tensors:
        return EncoderFile(path, tensors)
    others = tuple(name for name in tensors if not name.startswith(ENCODER))
    return EncoderFile(path, encoder_weights(tensors), others)
