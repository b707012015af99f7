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
from safetensors.torch import load_file, save_file
from torch import Tensor

from simcrop.adapters.evaluation.classification.files import HeadLabels
from simcrop.adapters.evaluation.classification.logistic_regression import LinearProbe
from simcrop.adapters.system.files import sha256_of, whole_folder, writing
from simcrop.core.errors import CheckpointError
from simcrop.core.evaluation.labels import LearnedFrom
from simcrop.core.evaluation.readouts import ReadOut

FOLDER = "probe"
_ABOUT, _WEIGHTS = "probe.json", "probe.safetensors"
_VERSION = 1


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
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        if about["version"] > _VERSION:
            raise CheckpointError(f"{folder}: was written by a later version of simcrop; update this one")
        if sha256_of(folder / _WEIGHTS) != about["sha256"]:
            raise ValueError(f"the sha256 of {_WEIGHTS} is not {_ABOUT}'s")
        tensors, counts = load_file(folder / _WEIGHTS), about["learned_from"]
        return KeptProbe(
            names=tuple(about["labels"]),
            exclusive=about["exclusive"],
            learned_from=LearnedFrom(counts["num_studies"], counts["num_patients"], tuple(counts["num_positive"])),
            thresholds=tuple(math.nan if value is None else value for value in about["thresholds"]),
            probe=LinearProbe(tensors["weight"], tensors["bias"], about["exclusive"]),
            read_out=about["features"],
            centres=tensors.get("centres"),
            model=about["model"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{folder}: damaged ({error}); fit the probe again by simcrop eval probe") from error
