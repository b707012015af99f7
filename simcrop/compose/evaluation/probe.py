"""`simcrop eval probe` and `knn`: labels read from the features of an encoder that stays as it is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.evaluation.classification.logistic_regression import probe_logits
from simcrop.compose.evaluation.common import Stop, command
from simcrop.compose.evaluation.labelled_task import (
    BLIND_SELECTION,
    UNTRAINED,
    LabelledTask,
    begin_task,
    conclude,
    refuse_published,
    task_features,
    with_notes,
)
from simcrop.compose.evaluation.published_probe import published_probe
from simcrop.core.errors import ConfigError
from simcrop.core.evaluation.classifier import probabilities
from simcrop.core.evaluation.neighbours import neighbour_votes, standardize
from simcrop.core.evaluation.selection import best_of, selection_score, without_prefix


@command
def probe(config: RunConfig, checkpoint: str | None, out: Path, should_stop: Stop) -> None:
    """Fit a linear probe, as the section `probe` says, and measure it on the held-out studies."""
    if config.labels.protocol == "published":
        published_probe(config, checkpoint, out, should_stop)
        return
    task, settings = begin_task(config, checkpoint), config.probe
    exclusive = task.columns.exclusive
    learn, select, both, test = _read(task, settings.features, should_stop)
    penalties = sorted(settings.inverse_penalties)

    def predicted(known: _Labelled, unknown: Tensor, penalties: Sequence[float]) -> list[Tensor]:
        truth = known.truth.numpy()
        logits = probe_logits(known.features, truth, unknown, inverse_penalties=penalties, exclusive=exclusive)
        return [probabilities(each, exclusive=exclusive) for each in logits]

    best, score = _choose(learn, select, predicted(learn, select.features, penalties), exclusive=exclusive)
    chosen = {"features": settings.features, "inverse_penalty": penalties[best], **without_prefix(score)}
    _conclude("probe", task, predicted(both, test, [penalties[best]])[0], score, chosen, out)


@command
def knn(config: RunConfig, checkpoint: str | None, out: Path, should_stop: Stop) -> None:
    """Let the nearest labelled studies vote, as the section `knn` says, and measure that on the held-out ones."""
    refuse_published(config, "nearest neighbours")
    task, settings = begin_task(config, checkpoint), config.knn
    counts = sorted(count for count in set(settings.counts) if count <= len(task.split.learn))
    if not counts:
        raise ConfigError(
            f"knn.counts: {list(settings.counts)} are all above the {len(task.split.learn)} studies to learn from; "
            "name smaller ones"
        )
    learn, select, both, test = _read(task, settings.features, should_stop)

    def predicted(known: _Labelled, unknown: Tensor, counts: Sequence[int]) -> list[Tensor]:
        features, asked = standardize(known.features, unknown)
        return list(neighbour_votes(asked, features, known.truth, counts, temperature=settings.temperature))

    best, score = _choose(learn, select, predicted(learn, select.features, counts), exclusive=task.columns.exclusive)
    chosen = {"features": settings.features, "neighbours": counts[best], **without_prefix(score)}
    _conclude("knn", task, predicted(both, test, [counts[best]])[0], score, chosen, out)


@dataclass(frozen=True, eq=False)
class _Labelled:
    """Studies whose labels are looked at: their features, and what they have."""

    features: Tensor
    truth: Tensor


def _read(
    task: LabelledTask, features: Literal["encoder", "voxels"], should_stop: Stop
) -> tuple[_Labelled, _Labelled, _Labelled, Tensor]:
    """(the studies to learn from, those to select by, both together; features of the test set)."""
    both, count = task.split.both, len(task.split.learn)
    task.require_measurable(task.learned_from(both))  # what cannot be measured is said before volumes are encoded
    table, truth = task_features(task, [*task.some(both), *task.test], features, should_stop), task.truth[list(both)]
    known, test = table[: len(both)], table[len(both) :]
    learn, select = _Labelled(known[:count], truth[:count]), _Labelled(known[count:], truth[count:])
    return learn, select, _Labelled(known, truth), test


def _choose(
    learn: _Labelled, select: _Labelled, said: Sequence[Tensor], *, exclusive: bool
) -> tuple[int, dict[str, float]]:
    """Index of the setting that tells the selection patients best, and its score."""
    learned = learn.truth.any(0) & ~learn.truth.all(0)
    scores = [selection_score(each, select.truth, learned=learned, exclusive=exclusive) for each in said]
    best = best_of(scores)
    return best, scores[best]


def _conclude(
    name: str, task: LabelledTask, scores: Tensor, score: Mapping[str, float], chosen: Mapping[str, Any], out: Path
) -> None:
    if chosen["features"] == "voxels":
        task = with_notes(task, "the features are the volumes' own voxels; no encoder was used")
    elif task.checkpoint["path"] is None:
        task = with_notes(task, UNTRAINED)
    if math.isnan(score["selection_auroc"]):
        task = with_notes(task, BLIND_SELECTION)
    conclude(name, task, scores, learned_from=task.learned_from(task.split.both), chosen=chosen, out=out)
