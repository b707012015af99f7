"""Reference scans of a model, in a file of its own: in the folder of its run, or of its export.

The file names the weights whose features it holds. Beside other weights, such as another step's, it does not count.
"""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from simcrop.adapters.checkpoints.encoder_file import Trained
from simcrop.adapters.system.files import whole_file
from simcrop.adapters.system.outside_files import parse_json
from simcrop.core.errors import InputError
from simcrop.core.evaluation.references import ReferenceScans

REFERENCES = "references.safetensors"
_log = logging.getLogger("simcrop")


def save_references(folder: Path, references: ReferenceScans, weights_sha256: str) -> None:
    """Write what is kept of reference scans, by the model of those weights; patches as float16.

    Raises:
        OSError: the disk refuses; names the file.
    """
    tensors = {"patches": references.patches.half(), "scan_of_patch": references.scan_of_patch.to(torch.int32)}
    about = {"version": "1", "weights_sha256": weights_sha256, "held_out": json.dumps(references.held_out)}
    with whole_file(folder / REFERENCES) as file:
        file.write(save(tensors, metadata=about))


def references_file(weights: Trained) -> Path | None:
    """The file beside weights that is theirs, or None."""
    folders = [weights.path]
    if weights.path.parent.name == "checkpoints":
        folders.append(weights.path.parent.parent)
    for folder in folders:
        path = folder / REFERENCES
        if path.is_file() and _about(path).get("weights_sha256") == weights.sha256:
            return path
    return None


def find_references(weights: Trained) -> ReferenceScans | None:
    """The reference scans of weights, or None; a damaged file counts as none, and a warning says so."""
    path = references_file(weights)
    if path is None:
        return None
    try:
        with safe_open(path, framework="pt") as file:
            patches, scans = (file.get_tensor(name) for name in ("patches", "scan_of_patch"))
        return ReferenceScans(patches.float(), scans.long(), parse_json(_about(path)["held_out"]))
    except (OSError, SafetensorError, InputError, KeyError, ValueError) as error:
        _warn(path, error)
        return None


def _about(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        _warn(path, error)
        return {}


def _warn(path: Path, error: Exception) -> None:
    _log.warning("%s: cannot be read (%s); sentences are looked for without reference scans", path, error)
