"""Fine-tuned classifiers on disk: a checkpoint folder whose manifest says which labels the head tells.

    OUT/checkpoints/step_00000120/   config.json  model.safetensors  manifest.json: encoder and head of the best step

As in a run's folder, `checkpoints/latest` names the one to load, so the encoder can be loaded from OUT like any other.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simcrop.adapters.checkpoints.folder import Checkpoint, find_checkpoint
from simcrop.adapters.checkpoints.resume import check_same
from simcrop.adapters.checkpoints.store import FolderCheckpoints
from simcrop.core.errors import CheckpointError, ConfigError
from simcrop.core.evaluation.classifier import Classifier
from simcrop.core.evaluation.labels import LearnedFrom

_FOLDER = "checkpoints"


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
            CheckpointError: damaged.
        """
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
    """The fine-tuned classifier that a path means; None where it is anything else."""
    try:
        checkpoint = find_checkpoint(path)
    except CheckpointError:
        return None
    about = checkpoint.manifest.get("classifier")
    if about is None:
        return None
    counts = about["learned_from"]
    learned_from = LearnedFrom(counts["num_studies"], counts["num_patients"], tuple(counts["num_positive"]))
    thresholds = tuple(math.nan if value is None else value for value in about.get("thresholds", ()))
    return FineTuned(tuple(about["labels"]), about["exclusive"], learned_from, thresholds, checkpoint)


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
