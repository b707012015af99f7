"""A fine-tuned segmentation network on disk, whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from simcrop.adapters.checkpoints.migrations import VERSION, migrated, migrated_settings, version_of
from simcrop.adapters.system.files import sha256_of, whole_folder, writing
from simcrop.core.errors import CheckpointError

FOLDER = "segmenter"
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_REMEDY = "free some space, then start again"


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
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); fine-tune again with another --out") from error
    if not isinstance(content, dict) or not {"config", "settings", "sha256"} <= content.keys():
        raise CheckpointError(f"{path}: is no segmentation network's; name a folder that eval segment has written")
    version = version_of(content, path)
    settings = migrated_settings(content["settings"], version)
    return content | {"config": migrated(content["config"], version), "settings": settings}


def segmenter_weights(folder: Path, sha256: str) -> dict[str, Tensor]:
    """The weights of a network, their hash compared. Raises CheckpointError where they are damaged or absent."""
    path = folder / _WEIGHTS
    try:
        if sha256_of(path) == sha256:
            return load_file(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); fine-tune again") from error
    raise CheckpointError(f"{path}: damaged (its sha256 is not config.json's); fine-tune again with another --out")
