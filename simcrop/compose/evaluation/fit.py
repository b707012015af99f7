"""One training of an evaluation: from where it was interrupted, to the weights that scored best."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from simcrop.adapters.checkpoints.background import BackgroundCheckpoints
from simcrop.adapters.checkpoints.resume import leaves, training_store, unfinished_training
from simcrop.adapters.config.settings import as_tree
from simcrop.adapters.loading.batches import AugmentedStudies
from simcrop.adapters.loading.workers import dead_workers_told
from simcrop.adapters.system.files import make_folder
from simcrop.adapters.tracking.metrics import FanOut, JsonlMetrics
from simcrop.adapters.tracking.terminal import TrainingProgress
from simcrop.compose.data import num_workers
from simcrop.compose.evaluation.common import Stop
from simcrop.compose.evaluation.labelled_task import LabelledTask
from simcrop.core.data.augment import Augmenter
from simcrop.core.evaluation.classifier import Classifier, probabilities
from simcrop.core.evaluation.fitting import ClassifierFit, classifier_optimizers
from simcrop.core.evaluation.selection import selection_score, without_prefix
from simcrop.core.ports import SingleProcess
from simcrop.core.recipe import AugmentRecipe, Optimisation
from simcrop.core.training.loop import B, Learner, Ports, fit
from simcrop.core.training.optimization import load_optimizer_state
from simcrop.core.training.progress import Progress
from simcrop.core.training.stopping import Stopped

_FREE = ("num_workers", "prepared", "storage")
"""Keys of the section data that decide nothing about what is learned."""


def run_fit(
    learner: Learner[B],
    *,
    batches: Callable[[int], Iterator[Sequence[B]]],
    score: Callable[[], Mapping[str, float]],
    out: Path,
    settings: Mapping[str, Any],
    should_stop: Stop,
    omit: tuple[str, ...] = (),
    timed: bool = True,
) -> Progress:
    """Train, or go on; the best weights are the model's when this returns.

    Args:
        learner: the model and how it learns.
        batches: gives the micro-batches of a step and of all that follow it.
        score: numbers of the model on the selection patients.
        out: folder of the evaluation; training.jsonl appears in it, and while the training runs the folder training.
        settings: all that decides what is learned, by key; the state of other ones is refused.
        should_stop: asked after every step.
        omit: prefixes of weights that never change, and are not stored.
        timed: whether rows tell rates.

    Raises:
        NonFiniteError: a loss or the gradient is NaN or infinite.
        CheckpointError: the saved state is damaged or of other settings, or the disk is full.
        Stopped: `should_stop` said so; the state is saved.
    """
    make_folder(out)
    progress, rows = _restored(learner, out, settings), out / "training.jsonl"
    store = training_store(out, settings, omit=omit, start_step=progress.step, rows=rows)
    ports = Ports(
        batches=batches,
        score=score,
        communicator=SingleProcess(),
        checkpoints=BackgroundCheckpoints(store),
        metrics=FanOut([JsonlMetrics(rows), TrainingProgress(learner.settings.steps)]),
        should_stop=should_stop,
        clock=time.monotonic if timed else None,
    )
    try:
        with dead_workers_told():
            progress = fit(learner, ports, progress)
    finally:
        ports.metrics.close()
    if not progress.is_finished(learner.settings):
        raise Stopped
    return progress


def _restored(learner: Learner[B], out: Path, settings: Mapping[str, Any]) -> Progress:
    """How far an interrupted training of the same settings came; the learner has its state then."""
    start = unfinished_training(out, settings)
    if start is None:
        return Progress()
    learner.model.load_state_dict(start.weights(), strict=False)
    state = start.training_state()
    load_optimizer_state(learner.optimizers, state["optimizer"])
    print(f"{out}: continuing the training from step {start.step}")
    return Progress.of(start.step, state)


def fit_classifier(
    task: LabelledTask,
    classifier: Classifier,
    optimisation: Optimisation,
    *,
    augment: AugmentRecipe,
    layer_decay: float,
    score: Callable[[], Float[Tensor, "n C"]],
    truth: Bool[Tensor, "n C"],
    out: Path,
    settings: Mapping[str, Any],
    should_stop: Stop,
    least_between: int = 1,
    unscored_epochs: int = 0,
) -> Progress:
    """Train a task's classifier, or go on; the best weights are its own when this returns.

    Args:
        task: what is done.
        classifier: on the device that computes.
        optimisation: steps, rates, and when to score: where it does not say, once an epoch.
        augment: how volumes are changed.
        layer_decay: factor of the learning rate from a block to the one below it.
        score: logits of the selection patients' studies.
        truth: of the same.
        out, settings, should_stop: as for `run_fit`.
        least_between: steps between scores where `optimisation` does not say.
        unscored_epochs: epochs ahead of the first score.

    Raises:
        As `run_fit`.
    """
    config, learn, exclusive = task.config, task.split.learn, task.columns.exclusive
    studies = AugmentedStudies(
        task.some(learn),
        task.truth[list(learn)],
        task.data.prepared,
        Augmenter(augment, task.encoder.recipe, config.seed),
        batch_size=optimisation.batch_size,
        num_workers=num_workers(config),
    )
    every = optimisation.evaluate_every or max(least_between, studies.steps_per_epoch)
    after = max(optimisation.evaluate_after, unscored_epochs * studies.steps_per_epoch)
    optimisation = replace(optimisation, evaluate_every=every, evaluate_after=after)
    learned = task.learned_from(learn).has_both
    optimizers = classifier_optimizers(classifier, optimisation, layer_decay=layer_decay)
    return run_fit(
        ClassifierFit(classifier, optimizers, optimisation, config.train, exclusive),
        batches=lambda first: ([batch] for batch in studies.batches(first, optimisation.steps)),
        score=lambda: selection_score(
            probabilities(score(), exclusive=exclusive), truth, learned=learned, exclusive=exclusive
        ),
        out=out,
        settings=settings,
        should_stop=should_stop,
        omit=("encoder.",) if classifier.frozen else (),
    )


def best_score(progress: Progress) -> dict[str, float]:
    """How the selection patients were told by the best step, and how many steps were made."""
    return {**without_prefix(progress.best or {}), "steps_made": progress.step}


def fit_settings(task: LabelledTask, section: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides what a fit learns, by key: encoder, data, labels, and the settings of the fit.

    Args:
        task: what is done.
        section: name -> settings of the fit.
    """
    tree = as_tree(task.config)
    parts = {
        "--checkpoint": task.checkpoint["sha256"],
        "encoder": task.checkpoint["encoder_sha256"],
        "seed": tree["seed"],
        "model": tree["model"],
        **section,
        "data": {key: value for key, value in tree["data"].items() if key not in _FREE},
        "labels": tree["labels"],
        "labels.columns": task.columns.names,
        "labels.exclusive": task.columns.exclusive,
        "studies": task.data.fingerprint,
    }
    return dict(leaves(parts))
