"""Features of a labelled task's studies: the read-outs that a checkpoint allows, from one pass over the volumes."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from simcrop.adapters.evaluation.classification.features_cache import FeatureKind
from simcrop.adapters.formats.feature_tables import read_table
from simcrop.adapters.formats.opening import without_suffix
from simcrop.adapters.system.provenance import weights_sha256
from simcrop.compose.evaluation.common import Stop
from simcrop.compose.evaluation.labelled_task import LabelledTask, with_notes
from simcrop.compose.evaluation.language_task import LanguageTask
from simcrop.compose.models import load_aligned
from simcrop.core.data.study import Study
from simcrop.core.errors import ConfigError, DataError, SimcropError
from simcrop.core.evaluation.features import voxel_features
from simcrop.core.evaluation.prototypes import read_prototypes
from simcrop.core.evaluation.readouts import TOKEN_READ_OUTS, ReadOut, model_rows, read_out, token_rows
from simcrop.core.evaluation.settings import Features
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.training.learner import numerics

TABLE = "table"
"""Features that came from a table."""
Tables = Mapping[str, Float[Tensor, "n F"]]
"""Features of the studies by what they are."""


@dataclass(frozen=True, eq=False)
class _Prototypes:
    """A model that matches sentences, and unit centres of the sentences of its training reports."""

    model: SimCroP
    centres: Float[Tensor, "m E"]


def task_features(
    task: LabelledTask, studies: Sequence[Study], section: str, features: Features, stop: Stop
) -> tuple[LabelledTask, Tables, Float[Tensor, "m E"] | None]:
    """Features of the studies' first reconstructions, computed or found in the cache.

    Args:
        task: that is done.
        studies: in the order of the rows.
        section: of the configuration that asks, for messages.
        features: one of them, or auto for all that the checkpoint allows.
        stop: asked after every batch.

    Returns:
        (the task, with a note where auto left prototypes out; its tables; the centres of prototypes, if there are any).

    Raises:
        ConfigError: prototypes are asked for, and cannot be had.
        DataError: a volume is damaged.
        Stopped: `stop` said so.
    """
    path = task.config.labels.features
    if path is not None:
        if features != "auto":
            raise ConfigError(
                f"{section}.features: {features} is not read where labels.features names a table; drop one"
            )
        task = with_notes(task, f"the features are those of {path}; no encoder of simcrop made them")
        return task, {TABLE: table_rows(read_table(path), path, studies)}, None
    if features == "voxels":
        window, size = task.encoder.recipe.window, task.encoder.recipe.volume_size
        kind = FeatureKind(["voxels", window], lambda volumes: voxel_features(volumes, window), size)
        return task, {features: _rows(task, studies, kind, stop)}, None
    found = None
    if features == "prototypes" or (features == "auto" and task.checkpoint["path"] is not None):
        try:
            found = _prototypes(task)
        except SimcropError as error:
            if features == "prototypes":
                raise ConfigError(f"{section}.features: no prototypes ({error}); write auto or encoder") from error
            task = with_notes(task, f"{section}.features: auto left prototypes out ({error})")
    tables = token_features(task, studies, stop) if found is None else _all_features(task, studies, found, stop)
    kept = tables if features == "auto" else {features: tables[features]}
    return task, kept, None if found is None else found.centres


def table_rows(rows: Mapping[str, NDArray[np.float32]], path: Path, studies: Sequence[Study]) -> Float[Tensor, "n F"]:
    """The rows of studies: named as the study or its first volume is, with or without folders and suffix.

    Args:
        rows: of the table, by name.
        path: of the table, for messages.
        studies: wanted.

    Raises:
        DataError: a study has no row, or one that is not finite; names the first and how many.
    """
    by_name: dict[str, list[str]] = {}
    for name in rows:
        for short in {name, without_suffix(name), Path(name).name, without_suffix(Path(name).name)}:
            by_name.setdefault(short, []).append(name)
    found: list[NDArray[np.float32]] = []
    bad: list[str] = []
    for study in studies:
        first = study.reconstructions[0]
        asked = (study.study_id, first, without_suffix(first), without_suffix(Path(first).name))
        names = next((by_name[name] for name in asked if len(by_name.get(name, ())) == 1), None)
        if names is None or not np.isfinite(rows[names[0]]).all():
            bad.append(study.study_id)
        else:
            found.append(rows[names[0]])
    if bad:
        more = f" (and {len(bad) - 1} more studies)" if len(bad) > 1 else ""
        raise DataError(
            f"{path}: has no row of finite numbers for the study {bad[0]}{more}; name rows after studies or volumes"
        )
    return torch.from_numpy(np.stack(found))


def token_features(task: LabelledTask, studies: Sequence[Study], stop: Stop) -> Tables:
    """The read-outs that an encoder alone allows; arguments and errors as for `task_features`."""
    kind = _kind(task, ["tokens"], lambda volumes: token_rows(task.encoder, volumes))
    return _tables(task, _rows(task, studies, kind, stop), TOKEN_READ_OUTS)


def _all_features(task: LabelledTask, studies: Sequence[Study], found: _Prototypes, stop: Stop) -> Tables:
    model, centres = found.model, found.centres
    digest = hashlib.sha256(centres.cpu().contiguous().numpy().tobytes()).hexdigest()
    kind = _kind(
        task, ["prototypes", weights_sha256(model), digest], lambda volumes: model_rows(model, volumes, centres)
    )
    return _tables(task, _rows(task, studies, kind, stop), (*TOKEN_READ_OUTS, "prototypes"))


def _prototypes(task: LabelledTask) -> _Prototypes:
    """Those of the training reports of the configuration. Raises SimcropError where model or reports have none."""
    checkpoint: str | None = task.checkpoint["path"]
    if checkpoint is None:
        raise ConfigError("there is no --checkpoint of a model that has learned to match sentences")
    language = LanguageTask(task.config, task.data, task.checkpoint, *load_aligned(checkpoint, task.device))
    train = task.data.train
    centres = read_prototypes(language.model, language.reader(train), train, task.config.seed)
    if centres is None:
        raise ConfigError(f"none of the reports of {len(train)} training studies holds a sentence")
    return _Prototypes(language.model, centres)


def _kind(task: LabelledTask, own: Sequence[Any], compute: Callable[[Tensor], Tensor]) -> FeatureKind:
    recipe, device, train = task.encoder.recipe, task.device, task.config.train
    default = "bf16" if device.type == "cuda" else "fp32"
    precision = default if train.precision == "auto" else train.precision

    def on_device(volumes: Tensor) -> Tensor:
        with numerics(device, train):
            return compute(volumes.to(device))

    identity = [*own, task.checkpoint["encoder_sha256"], asdict(recipe), precision]
    return FeatureKind(identity, on_device, recipe.volume_size)


def _rows(task: LabelledTask, studies: Sequence[Study], kind: FeatureKind, stop: Stop) -> Float[Tensor, "n F"]:
    return task.features([study.reconstructions[0] for study in studies], kind, stop)


def _tables(task: LabelledTask, rows: Float[Tensor, "n F"], names: Sequence[ReadOut]) -> Tables:
    return {name: read_out(rows, name, task.encoder.recipe) for name in names}
