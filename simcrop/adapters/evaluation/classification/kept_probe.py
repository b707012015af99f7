"""Linear probes on disk: a map of features, and the name and hash of the model that makes these.

OUT/probe/probe.json            labels, thresholds, read-out, and which weights the features are of
OUT/probe/probe.safetensors     weight and bias; centres of prototypes
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from safetensors.torch import save_file
from torch import Tensor

from simcrop.adapters.checkpoints.tensor_files import load_tensors
from simcrop.adapters.config.errors import why_invalid
from simcrop.adapters.evaluation.classification.files import HeadLabels, read_head
from simcrop.adapters.evaluation.classification.logistic_regression import LinearProbe
from simcrop.adapters.system.files import sha256_of, whole_folder, writing
from simcrop.adapters.system.outside_files import read_json
from simcrop.core.errors import CheckpointError
from simcrop.core.evaluation.readouts import ReadOut

FOLDER = "probe"
_ABOUT, _WEIGHTS = "probe.json", "probe.safetensors"
_VERSION = 1
_HEAD = {"labels", "exclusive", "learned_from", "thresholds"}
_REMEDY = "fit the probe again by simcrop eval probe"


@dataclass(frozen=True, eq=False)
class KeptProbe(HeadLabels):
    """A linear probe and the features that it reads.

    Attributes:
        probe: the map.
        read_out: what of the model's tokens the features are.
        centres: of prototypes, where these are read.
        model: `path` as it was named, and `sha256` of its weights.
    """

    probe: LinearProbe
    read_out: ReadOut
    centres: Float[Tensor, "m dim"] | None
    model: Mapping[str, Any]


def find_probe(path: Path) -> Path | None:
    """The folder of the probe that an evaluation's folder holds, or that `path` is; None where it is neither."""
    for folder in (path / FOLDER, path):
        if folder.name == FOLDER and (folder / _ABOUT).is_file():
            return folder
    return None


def save_probe(out: Path, kept: KeptProbe) -> None:
    """Write a probe into an evaluation's folder, in the place of an earlier one.

    Raises:
        CheckpointError: the disk refuses.
    """
    tensors = {"weight": kept.probe.weight, "bias": kept.probe.bias}
    if kept.centres is not None:
        tensors["centres"] = kept.centres.cpu()
    with writing(out / FOLDER, CheckpointError, "free some space, then start again"), whole_folder(out / FOLDER) as new:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, new / _WEIGHTS)
        about = {
            "version": _VERSION,
            "labels": list(kept.names),
            "exclusive": kept.exclusive,
            "learned_from": asdict(kept.learned_from),
            "thresholds": [None if math.isnan(value) else value for value in kept.thresholds],
            "features": kept.read_out,
            "model": {**kept.model, "beside": os.path.relpath(kept.model["path"], out.resolve())},
            "sha256": sha256_of(new / _WEIGHTS),
        }
        (new / _ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def load_probe(folder: Path) -> KeptProbe:
    """The probe in a folder from `find_probe`.

    Raises:
        CheckpointError: damaged, or of a later version.
    """
    about = _read_about(folder / _ABOUT)
    try:
        if sha256_of(folder / _WEIGHTS) != about.sha256:
            raise ValueError(f"the sha256 of {_WEIGHTS} is not {_ABOUT}'s")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: damaged ({why_invalid(error)}); {_REMEDY}") from error
    tensors = load_tensors(folder / _WEIGHTS, _REMEDY)
    head = read_head(about.model_dump(include=_HEAD), folder / _ABOUT, _REMEDY)
    weight, bias, centres = (tensors.get(name) for name in ("weight", "bias", "centres"))
    rows = len(head.names)
    if weight is None or bias is None or weight.ndim != 2 or (len(weight), *bias.shape) != (rows, rows):
        raise CheckpointError(f"{folder / _WEIGHTS}: damaged (no weight and bias of {rows} labels); {_REMEDY}")
    if (centres is not None) != (about.features == "prototypes") or (centres is not None and centres.ndim != 2):
        raise CheckpointError(f"{folder / _WEIGHTS}: damaged (no centres, and {_ABOUT} tells of some); {_REMEDY}")
    return KeptProbe(
        names=head.names,
        exclusive=head.exclusive,
        learned_from=head.learned_from,
        thresholds=head.thresholds,
        probe=LinearProbe(weight.double(), bias.double(), head.exclusive),
        read_out=about.features,
        centres=centres,
        model=about.model.model_dump(),
    )


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")
    path: str
    sha256: str
    beside: str


class _About(BaseModel):
    """Types of what is read of probe.json; what tells the labels is read by `read_head`."""

    model_config = ConfigDict(strict=True, extra="allow")
    version: int
    features: ReadOut
    model: _Model
    sha256: str


def _read_about(path: Path) -> _About:
    try:
        about: Any = read_json(path)
        if isinstance(about, dict) and isinstance(about.get("version"), int) and about["version"] > _VERSION:
            raise CheckpointError(f"{path.parent}: was written by a later version of simcrop; update this one")
        return _About.model_validate(about)
    except (OSError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: damaged ({why_invalid(error)}); {_REMEDY}") from error
