"""`simcrop eval probe` and `knn`: labels read from the features of an encoder that stays as it is."""

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.evaluation.classification.kept_probe import FOLDER, KeptProbe, find_probe, save_probe
from simcrop.adapters.evaluation.classification.logistic_regression import fit_probes, probe_logits
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
from simcrop.core.evaluation.readouts import TOKEN_READ_OUTS, ReadOut
from simcrop.core.evaluation.selection import best_of, selection_score, without_prefix
from simcrop.core.evaluation.thresholds import youden_thresholds


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
    found = _measure("probe", task, _Method("inverse_penalty", values, predicted), out, should_stop)
    _keep(task, found, out)


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
class _Choice:
    """What the selection patients have chosen.

    Attributes:
        value: of the setting.
        score: how well they were told by it.
        said: their probabilities.
    """

    value: Any
    score: Mapping[str, float]
    said: Tensor


@dataclass(frozen=True, eq=False)
class _Winner:
    """The read-out that was measured.

    Attributes:
        read_out: its name.
        centres: of prototypes, where that is what it reads.
        choice: by it.
        known: features of all labelled studies.
        thresholds: of each finding, by what was said of the selection patients; none of exclusive classes.
    """

    read_out: str
    centres: Tensor | None
    choice: _Choice
    known: _Labelled
    thresholds: tuple[float, ...]


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


def _measure(
    name: Literal["probe", "knn"], task: LabelledTask, method: _Method, out: Path, should_stop: Stop
) -> _Winner:
    """Let the selection patients choose read-out and setting, fit once more on all labels, and conclude."""
    both = task.split.both
    task.require_measurable(task.learned_from(both))  # what cannot be measured is said before volumes are encoded
    features, studies = getattr(task.config, name).features, [*task.some(both), *task.test]
    task, tables, centres = task_features(task, studies, name, features, should_stop)
    truth = task.truth[list(both)]
    tried = {each: _choose(task, _Labelled(table[: len(both)], truth), method) for each, table in tables.items()}
    winner = list(tried)[best_of([choice.score for choice in tried.values()])]
    choice = tried[winner]
    known = _Labelled(tables[winner][: len(both)], truth)
    scores = method.predicted(known, tables[winner][len(both) :], [choice.value])[0]
    chosen: dict[str, Any] = {"features": winner, method.setting: choice.value, **without_prefix(choice.score)}
    if len(tried) > 1:
        chosen["read_outs"] = {each: without_prefix(tried[each].score) for each in tried}
    task = _noted(task, winner, choice.score["selection_auroc"])
    chosen_by = truth[len(task.split.learn) :]
    thresholds = () if task.columns.exclusive else tuple(youden_thresholds(choice.said, chosen_by))
    learned_from = task.learned_from(both)
    conclude(name, task, scores, learned_from=learned_from, chosen=chosen, out=out, thresholds=thresholds)
    return _Winner(winner, centres if winner == "prototypes" else None, choice, known, thresholds)


def _choose(task: LabelledTask, known: _Labelled, method: _Method) -> _Choice:
    """The value by which the others tell the selection patients best."""
    count, exclusive = len(task.split.learn), task.columns.exclusive
    learn, truth = _Labelled(known.features[:count], known.truth[:count]), known.truth[count:]
    learned = learn.truth.any(0) & ~learn.truth.all(0)
    said = method.predicted(learn, known.features[count:], method.values)
    scores = [selection_score(each, truth, learned=learned, exclusive=exclusive) for each in said]
    best = best_of(scores)
    return _Choice(method.values[best], scores[best], said[best])


def _keep(task: LabelledTask, found: _Winner, out: Path) -> None:
    """Keep the probe for scans without labels, where a checkpoint makes its features; else none is left there."""
    if find_probe(out) is not None:
        shutil.rmtree(out / FOLDER)
    names: tuple[ReadOut, ...] = (*TOKEN_READ_OUTS, "prototypes")
    read_out: ReadOut | None = next((name for name in names if name == found.read_out), None)
    if read_out is None or task.checkpoint["path"] is None:
        return
    exclusive, truth = task.columns.exclusive, found.known.truth
    (fitted,) = fit_probes(
        found.known.features, truth.numpy(), inverse_penalties=[found.choice.value], exclusive=exclusive
    )
    kept = KeptProbe(
        task.columns.names,
        exclusive,
        task.learned_from(task.split.both),
        found.thresholds,
        fitted,
        read_out,
        found.centres,
        {name: task.checkpoint[name] for name in ("path", "sha256")},
    )
    save_probe(out, kept)


def _noted(task: LabelledTask, features: str, selection_auroc: float) -> LabelledTask:
    if features == "voxels":
        task = with_notes(task, "the features are the volumes' own voxels; no encoder was used")
    elif features != TABLE and task.checkpoint["path"] is None:
        task = with_notes(task, UNTRAINED)
    if math.isnan(selection_auroc):
        task = with_notes(task, BLIND_SELECTION)
    return task
