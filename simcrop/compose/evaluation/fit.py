"""One training of an evaluation: from where it was interrupted, to the weights that scored best."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from jaxtyping import Bool, Float
from torch import Tensor

from simcrop.adapters.checkpoints.resume import leaves, training_store, unfinished_training
from simcrop.adapters.config.settings import as_tree
from simcrop.adapters.loading.batches import AugmentedStudies
from simcrop.adapters.system.files import make_folder
from simcrop.adapters.tracking.metrics import FanOut, JsonlMetrics
from simcrop.adapters.tracking.terminal import TrainingProgress
from simcrop.compose.evaluation.labelled_task import LabelledTask
from simcrop.core.data.augment import Augmenter
from simcrop.core.evaluation.classifier import probabilities
from simcrop.core.evaluation.fitting import LabelledBatch
from simcrop.core.evaluation.selection import selection_score, without_prefix
from simcrop.core.ports import SingleProcess
from simcrop.core.recipe import AugmentRecipe
from simcrop.core.training.loop import B, Learner, Ports, fit
from simcrop.core.training.optimization import load_optimizer_state
from simcrop.core.training.progress import Progress
from simcrop.core.training.stopping import Stopped

_FREE = ("num_workers", "prepared")
"""Keys of the section data that decide nothing about what is learned."""


@dataclass(frozen=True, eq=False)
class Fit(Generic[B]):
    """What a training of an evaluation needs of the outside.

    Attributes:
        batches: gives the micro-batches of a step and of all that follow it.
        score: numbers of the model on the selection patients.
        out: folder of the evaluation; training.jsonl appears in it, and while the training runs the folder training.
        settings: all that decides what is learned, by key; the state of other ones is refused.
        omit: prefixes of weights that never change, and are not stored.
        timed: whether rows tell rates.
    """

    batches: Callable[[int], Iterator[Sequence[B]]]
    score: Callable[[], Mapping[str, float]]
    out: Path
    settings: Mapping[str, Any]
    omit: tuple[str, ...] = ()
    timed: bool = True

    def run(self, learner: Learner[B], should_stop: Callable[[], bool]) -> Progress:
        """Train, or go on; the best weights are the model's when this returns.

        Raises:
            NonFiniteError: a loss or the gradient is NaN or infinite.
            CheckpointError: the saved state is damaged or of other settings, or the disk is full.
            Stopped: `should_stop` said so; the state is saved.
        """
        make_folder(self.out)
        progress = self._restore(learner)
        rows, shown = JsonlMetrics(self.out / "training.jsonl"), TrainingProgress(learner.settings.steps)
        ports = Ports(
            batches=self.batches,
            score=self.score,
            communicator=SingleProcess(),
            checkpoints=training_store(self.out, self.settings, omit=self.omit, start_step=progress.step),
            metrics=FanOut([rows, shown]),
            should_stop=should_stop,
            clock=time.monotonic if self.timed else None,
        )
        try:
            progress = fit(learner, ports, progress)
        finally:
            ports.metrics.close()
        if not progress.is_finished(learner.settings):
            raise Stopped
        return progress

    def _restore(self, learner: Learner[B]) -> Progress:
        start = unfinished_training(self.out, self.settings)
        if start is None:
            return Progress()
        learner.model.load_state_dict(start.weights(), strict=False)
        state = start.training_state()
        load_optimizer_state(learner.optimizers, state["optimizer"])
        print(f"{self.out}: continuing the training from step {start.step}")
        return Progress.of(start.step, state)


def label_fit(
    task: LabelledTask,
    studies: AugmentedStudies,
    *,
    last_step: int,
    logits: Callable[[], Float[Tensor, "n C"]],
    truth: Bool[Tensor, "n C"],
    out: Path,
    settings: Mapping[str, Any],
    omit: tuple[str, ...] = (),
) -> Fit[LabelledBatch]:
    """The training of a task's classifier.

    Args:
        task: what is done.
        studies: to learn from.
        last_step: of the training.
        logits: of the selection patients' studies.
        truth: of the same.
        out, settings, omit: as in `Fit`.
    """
    learned, exclusive = task.learned_from(task.split.learn).has_both, task.columns.exclusive
    return Fit(
        batches=lambda first: ([batch] for batch in studies.batches(first, last_step)),
        score=lambda: selection_score(
            probabilities(logits(), exclusive=exclusive), truth, learned=learned, exclusive=exclusive
        ),
        out=out,
        settings=settings,
        omit=omit,
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


def learning_studies(task: LabelledTask, *, augment: AugmentRecipe, batch_size: int) -> AugmentedStudies:
    """The studies that a task learns from, as training batches."""
    config, learn = task.config, task.split.learn
    return AugmentedStudies(
        task.some(learn),
        task.truth[list(learn)],
        task.data.prepared,
        Augmenter(augment, task.encoder.recipe, config.seed),
        batch_size=batch_size,
        num_workers=config.data.num_workers,
    )
