"""`simcrop eval probe` and `knn`: labels read from the features of an encoder that stays as it is."""

import math
from collections.abc import Callable, Sequence
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
    with_notes,
)
from simcrop.compose.evaluation.published_probe import published_probe
from simcrop.compose.evaluation.task_features import TABLE, task_features
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
    task = begin_task(config, checkpoint, takes_table=True)
    exclusive = task.columns.exclusive

    def predicted(known: _Labelled, unknown: Tensor, penalties: Sequence[float]) -> list[Tensor]:
        truth = known.truth.numpy()
        logits = probe_logits(known.features, truth, unknown, inverse_penalties=penalties, exclusive=exclusive)
        return [probabilities(each, exclusive=exclusive) for each in logits]

    values = sorted(config.probe.inverse_penalties)
    _measure("probe", task, _Method("inverse_penalty", values, predicted), out, should_stop)


@command
def knn(config: RunConfig, checkpoint: str | None, out: Path, should_stop: Stop) -> None:
    """Let the nearest labelled studies vote, as the section `knn` says, and measure that on the held-out ones."""
    refuse_published(config, "nearest neighbours")
    task, settings = begin_task(config, checkpoint, takes_table=True), config.knn
    counts = sorted(count for count in set(settings.counts) if count <= len(task.split.learn))
    if not counts:
        raise ConfigError(
            f"knn.counts: {list(settings.counts)} are all above the {len(task.split.learn)} studies to learn from; "
            "name smaller ones"
        )

    def predicted(known: _Labelled, unknown: Tensor, counts: Sequence[int]) -> list[Tensor]:
        features, asked = standardize(known.features, unknown)
        return list(neighbour_votes(asked, features, known.truth, counts, temperature=settings.temperature))

    _measure("knn", task, _Method("neighbours", counts, predicted), out, should_stop)


@dataclass(frozen=True, eq=False)
class _Labelled:
    """Studies whose labels are looked at: their features, and what they have."""

    features: Tensor
    truth: Tensor


@dataclass(frozen=True, eq=False)
class _Method:
    """A way to read labels from features.

    Attributes:
        setting: name of what the selection patients choose.
        values: that they choose from.
        predicted: probabilities of studies by what is known of others, for each of several values.
    """

    setting: str
    values: Sequence[Any]
    predicted: Callable[[_Labelled, Tensor, Sequence[Any]], list[Tensor]]


def _measure(name: Literal["probe", "knn"], task: LabelledTask, method: _Method, out: Path, should_stop: Stop) -> None:
    """Let the selection patients choose read-out and setting, fit once more on all labels, and conclude."""
    both = task.split.both
    task.require_measurable(task.learned_from(both))  # what cannot be measured is said before volumes are encoded
    features, studies = getattr(task.config, name).features, [*task.some(both), *task.test]
    task, tables = task_features(task, studies, name, features, should_stop)
    truth = task.truth[list(both)]
    tried = {each: _choose(task, _Labelled(table[: len(both)], truth), method) for each, table in tables.items()}
    winner = list(tried)[best_of([score for _, score in tried.values()])]
    value, score = tried[winner]
    known = _Labelled(tables[winner][: len(both)], truth)
    scores = method.predicted(known, tables[winner][len(both) :], [value])[0]
    chosen: dict[str, Any] = {"features": winner, method.setting: value, **without_prefix(score)}
    if len(tried) > 1:
        chosen["read_outs"] = {each: without_prefix(score) for each, (_, score) in tried.items()}
    task = _noted(task, winner, score["selection_auroc"])
    conclude(name, task, scores, learned_from=task.learned_from(both), chosen=chosen, out=out)


def _choose(task: LabelledTask, known: _Labelled, method: _Method) -> tuple[Any, dict[str, float]]:
    """The value by which the others tell the selection patients best, and its score."""
    count, exclusive = len(task.split.learn), task.columns.exclusive
    learn, truth = _Labelled(known.features[:count], known.truth[:count]), known.truth[count:]
    learned = learn.truth.any(0) & ~learn.truth.all(0)
    said = method.predicted(learn, known.features[count:], method.values)
    scores = [selection_score(each, truth, learned=learned, exclusive=exclusive) for each in said]
    best = best_of(scores)
    return method.values[best], scores[best]


def _noted(task: LabelledTask, features: str, selection_auroc: float) -> LabelledTask:
    if features == "voxels":
        task = with_notes(task, "the features are the volumes' own voxels; no encoder was used")
    elif features != TABLE and task.checkpoint["path"] is None:
        task = with_notes(task, UNTRAINED)
    if math.isnan(selection_auroc):
        task = with_notes(task, BLIND_SELECTION)
    return task
