"""A fine-tuned segmentation network on disk, whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from simcrop.adapters.checkpoints.migrations import VERSION, migrated, migrated_settings, version_of
from simcrop.adapters.checkpoints.tensor_files import load_tensors, require_fit, stored_tensors
from simcrop.adapters.system.files import sha256_of, whole_folder, writing
from simcrop.adapters.system.outside_files import read_json
from simcrop.core.errors import CheckpointError

FOLDER = "segmenter"
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_TYPES = {"config": dict, "settings": dict, "sha256": str}
"""Of what config.json has to say."""
_REMEDY, _AGAIN = "free some space, then start again", "fine-tune again with another --out"


def find_segmenter(path: Path) -> Path | None:
    """The folder of the network that an evaluation's folder holds, or that `path` is; None where it is neither."""
    for folder in (path / FOLDER, path):
        if folder.name == FOLDER and (folder / _CONFIG).is_file():
            return folder
    return None


def save_segmenter(out: Path, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> Path:
    """Write `segmenter/{config.json, model.safetensors}` into an evaluation's folder; returns it.

    Args:
        out: the folder.
        weights: of the network.
        config: what config.json says; the hash of the weights is added.

    Raises:
        CheckpointError: the disk refuses.
    """
    final = out / FOLDER
    with writing(final, CheckpointError, _REMEDY), whole_folder(final) as draft:
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, draft / _WEIGHTS)
        content = {"version": VERSION, **config, "sha256": sha256_of(draft / _WEIGHTS)}
        (draft / _CONFIG).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return final


def segmenter_config(folder: Path) -> dict[str, Any]:
    """What config.json of a network says, as this version would have written it.

    Raises:
        CheckpointError: it is damaged, or of a later version.
    """
    path = folder / _CONFIG
    try:
        content: Any = read_json(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); {_AGAIN}") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(key), kind) for key, kind in _TYPES.items()):
        raise CheckpointError(f"{path}: is no segmentation network's; name a folder that eval segment has written")
    if not isinstance(content.get("version", 1), int):
        raise CheckpointError(f"{path}: damaged (version: no whole number); {_AGAIN}")
    version = version_of(content, path)
    settings = migrated_settings(content["settings"], version)
    return content | {"config": migrated(content["config"], version), "settings": settings}


def require_segmenter(folder: Path, network: nn.Module) -> None:
    """Raise CheckpointError unless the weights in a folder are those of a network, which may be on the meta device."""
    path = folder / _WEIGHTS
    require_fit(path, stored_tensors(path, _AGAIN), network, remedy=_AGAIN)


def segmenter_weights(folder: Path, sha256: str) -> dict[str, Tensor]:
    """The weights of a network, their hash compared. Raises CheckpointError where they are damaged or absent."""
    path = folder / _WEIGHTS
    tensors = load_tensors(path, _AGAIN)
    if sha256_of(path) != sha256:
        raise CheckpointError(f"{path}: damaged (its sha256 is not config.json's); {_AGAIN}")
    return tensors
