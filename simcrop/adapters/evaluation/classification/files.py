"""Fine-tuned classifiers on disk: a checkpoint folder whose manifest says which labels the head tells.

    OUT/checkpoints/step_00000120/   config.json  model.safetensors  manifest.json: encoder and head of the best step

As in a run's folder, `checkpoints/latest` names the one to load, so the encoder can be loaded from OUT like any other.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from simcrop.adapters.checkpoints.folder import WEIGHTS, Checkpoint, find_checkpoint
from simcrop.adapters.checkpoints.manifest import MANIFEST
from simcrop.adapters.checkpoints.resume import check_same
from simcrop.adapters.checkpoints.store import FolderCheckpoints
from simcrop.adapters.checkpoints.tensor_files import require_fit
from simcrop.adapters.config.errors import why_invalid
from simcrop.core.errors import CheckpointError, ConfigError
from simcrop.core.evaluation.classifier import Classifier
from simcrop.core.evaluation.labels import LearnedFrom

_FOLDER = "checkpoints"
_HEAD = "head.weight"
_MOST_LABELS = 10_000


@dataclass(frozen=True, eq=False)
class HeadLabels:
    """Labels that a head tells.

    Attributes:
        names: of the labels.
        exclusive: a study has exactly one of them.
        learned_from: what the studies hold behind it.
        thresholds: of each label, from which probability on it is called present; NaN where none could be chosen, and
            empty for exclusive classes and for classifiers of before.
    """

    names: tuple[str, ...]
    exclusive: bool
    learned_from: LearnedFrom
    thresholds: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class FineTuned(HeadLabels):
    """A fine-tuned classifier's checkpoint, and what its head tells."""

    checkpoint: Checkpoint

    def load_into(self, classifier: Classifier) -> None:
        """Put the weights into a classifier of the same encoder and number of labels.

        Raises:
            CheckpointError: damaged, or of another encoder or number of labels.
        """
        path = self.checkpoint.path / WEIGHTS
        require_fit(path, self.checkpoint.stored(), classifier)
        classifier.load_state_dict(self.checkpoint.weights())

    def require(self, names: Sequence[str], *, exclusive: bool) -> None:
        """Raise CheckpointError where the data have other labels, or other numbers of them."""
        if (self.names, self.exclusive) == (tuple(names), exclusive):
            return
        kinds = ("findings", "exclusive classes")
        own = f"{len(self.names)} {kinds[self.exclusive]} ({', '.join(self.names)})"
        raise CheckpointError(
            f"{self.checkpoint.path}: is a classifier of {own}, and the data have {len(names)} {kinds[exclusive]} "
            f"({', '.join(names)}); choose the same by labels.names and labels.task, or give its encoder a new head by "
            "finetune.new_head=true"
        )


def fine_tuned(path: Path) -> FineTuned | None:
    """The fine-tuned classifier that a path means; None where it is anything else.

    Raises:
        CheckpointError: it is a classifier, and damaged.
    """
    try:
        checkpoint = find_checkpoint(path)
    except CheckpointError:
        return None
    about = checkpoint.manifest.get("classifier")
    if about is None:
        return None
    head = read_head(about, checkpoint.path / MANIFEST, "take another checkpoint")
    row = checkpoint.stored().get(_HEAD)
    if row is None or row.shape[:1] != (len(head.names),):
        raise CheckpointError(
            f"{checkpoint.path / WEIGHTS}: has no {_HEAD} of {len(head.names)} rows, one for each label of "
            f"{MANIFEST}; take another checkpoint"
        )
    return FineTuned(head.names, head.exclusive, head.learned_from, head.thresholds, checkpoint)


def read_head(about: Any, path: Path, remedy: str) -> HeadLabels:
    """What a file of ours says of the labels of a head.

    Args:
        about: the object of JSON.
        path: of the file, for messages.
        remedy: what to do where it says something else.

    Raises:
        CheckpointError: a value is of another type, or there are other numbers of labels than of what is said of them.
    """
    try:
        said = _Head.model_validate(about)
        numbers = {len(said.labels), len(said.learned_from.num_positive), len(said.thresholds or said.labels)}
        if len(numbers) > 1 or not said.labels:
            raise ValueError(f"{len(said.labels)} labels, and other numbers of counts or thresholds")
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged ({why_invalid(error)}); {remedy}") from error
    counts = said.learned_from
    return HeadLabels(
        names=tuple(said.labels),
        exclusive=said.exclusive,
        learned_from=LearnedFrom(counts.num_studies, counts.num_patients, tuple(counts.num_positive)),
        thresholds=tuple(math.nan if value is None else value for value in said.thresholds),
    )


class _Counts(BaseModel):
    model_config = ConfigDict(strict=True)
    num_studies: int
    num_patients: int
    num_positive: list[int]


class _Head(BaseModel):
    model_config = ConfigDict(strict=True)
    labels: Annotated[list[Annotated[str, Field(max_length=1000)]], Field(max_length=_MOST_LABELS)]
    exclusive: bool
    learned_from: _Counts
    thresholds: list[float | None] = []


def finished_fit(out: Path, settings: Mapping[str, Any]) -> FineTuned | None:
    """The classifier that an earlier fit of the same settings has left in an evaluation's folder.

    Args:
        out: folder of the evaluation.
        settings: all that decides what a fit learns, by key.

    Raises:
        ConfigError: the folder holds the checkpoints of a run.
        CheckpointError: it holds a classifier that other settings have made.
    """
    if not (out / _FOLDER / "latest").is_file():
        return None
    found = fine_tuned(out)
    if found is None:
        raise ConfigError(f"--out {out}: holds checkpoints of a run, which would be lost; name another folder")
    check_same(found.checkpoint.path, found.checkpoint.settings, settings)
    return found


def save_classifier(
    out: Path,
    classifier: Classifier,
    step: int,
    labels: HeadLabels,
    *,
    config: Mapping[str, Any],
    metrics: Mapping[str, float],
    provenance: Mapping[str, Any],
) -> None:
    """Write the classifier of a fit that is over.

    Args:
        out: folder of the evaluation.
        classifier: with the weights of the best step.
        step: that one.
        labels: that its head tells apart, and what they were learned from.
        config: of the evaluation, with the encoder's model.
        metrics: how it told the selection patients; goes into the manifest.
        provenance: goes into the manifest; under `settings` those of the fit, by key.

    Raises:
        CheckpointError: the disk refuses.
    """
    store = FolderCheckpoints(
        out / _FOLDER,
        keep=2,
        config=config,
        tokenizer={},
        provenance={
            **provenance,
            "classifier": {
                "labels": list(labels.names),
                "exclusive": labels.exclusive,
                "learned_from": asdict(labels.learned_from),
                "thresholds": [None if math.isnan(value) else value for value in labels.thresholds],
            },
        },
    )
    store.save(step, classifier, {}, metrics=metrics)
