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
    table = _read(task, settings.features, should_stop)
    penalties = sorted(settings.inverse_penalties)
    logits = probe_logits(
        table.learn, table.truth_learn.numpy(), table.select, inverse_penalties=penalties, exclusive=exclusive
    )
    best, score = _choose(table, [probabilities(each, exclusive=exclusive) for each in logits], exclusive=exclusive)
    logits = probe_logits(
        table.both, table.truth_both.numpy(), table.test, inverse_penalties=[penalties[best]], exclusive=exclusive
    )
    chosen = {"features": settings.features, "inverse_penalty": penalties[best], **without_prefix(score)}
    _conclude("probe", task, probabilities(logits[0], exclusive=exclusive), score, chosen, out)


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
    table = _read(task, settings.features, should_stop)
    known, asked = standardize(table.learn, table.select)
    votes = neighbour_votes(asked, known, table.truth_learn, counts, temperature=settings.temperature)
    best, score = _choose(table, list(votes), exclusive=task.columns.exclusive)
    known, asked = standardize(table.both, table.test)
    votes = neighbour_votes(asked, known, table.truth_both, [counts[best]], temperature=settings.temperature)
    chosen = {"features": settings.features, "neighbours": counts[best], **without_prefix(score)}
    _conclude("knn", task, votes[0], score, chosen, out)


@dataclass(frozen=True, eq=False)
class _Table:
    """Features and labels: of the studies to learn from, those to select by, both together, and the test set."""

    both: Tensor
    truth_both: Tensor
    num_learn: int
    test: Tensor

    @property
    def learn(self) -> Tensor:
        return self.both[: self.num_learn]

    @property
    def truth_learn(self) -> Tensor:
        return self.truth_both[: self.num_learn]

    @property
    def select(self) -> Tensor:
        return self.both[self.num_learn :]

    @property
    def truth_select(self) -> Tensor:
        return self.truth_both[self.num_learn :]


def _read(task: LabelledTask, features: Literal["encoder", "voxels"], should_stop: Stop) -> _Table:
    both = task.split.both
    task.require_measurable(task.learned_from(both))  # what cannot be measured is said before volumes are encoded
    table = task_features(task, [*task.some(both), *task.test], features, should_stop)
    return _Table(table[: len(both)], task.truth[list(both)], len(task.split.learn), table[len(both) :])


def _choose(table: _Table, said: Sequence[Tensor], *, exclusive: bool) -> tuple[int, dict[str, float]]:
    """Index of the setting that tells the selection patients best, and its score."""
    learned = table.truth_learn.any(0) & ~table.truth_learn.all(0)
    scores = [selection_score(each, table.truth_select, learned=learned, exclusive=exclusive) for each in said]
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
