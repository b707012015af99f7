"""Training a classifier: early stopping on selection patients, and a state from which a killed run continues.

The same loop trains a linear head on a frozen encoder and a whole encoder. It knows no files: batches, checkpoints,
metrics, clock and signals come in through ports.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int16
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from simcrop.core.data.augment import Augmentation, apply_augmentations
from simcrop.core.errors import NonFiniteError
from simcrop.core.evaluation.classifier import (
    Classifier,
    classification_loss,
    layer_scale,
    probabilities,
    trained_weights,
)
from simcrop.core.evaluation.selection import SelectionScore, selection_score
from simcrop.core.ports import CheckpointStore, MetricSink, State
from simcrop.core.recipe import TrainRecipe
from simcrop.core.training.learner import numerics
from simcrop.core.training.optimization import (
    load_optimizer_state,
    lr_at,
    make_optimizers,
    optimizer_state,
    parameter_groups,
    set_lr,
)


@dataclass(frozen=True, eq=False)
class LabelledBatch:
    """Prepared volumes, what each has still to undergo, and their labels; on the CPU.

    Attributes:
        volumes: [B, H, W, D] HU.
        augmentations: one a volume.
        truth: [B, C].
        study_ids: for messages.
    """

    volumes: Int16[Tensor, "B H W D"]
    augmentations: tuple[Augmentation, ...]
    truth: Bool[Tensor, "B C"]
    study_ids: tuple[str, ...]

    def augmented(self, device: torch.device) -> Int16[Tensor, "B 1 h w d"]:
        """The volumes as the model sees them, on its device."""
        return apply_augmentations(self.volumes.to(device), self.augmentations)


@dataclass(frozen=True)
class FitOutside:
    """What a fit talks to.

    Attributes:
        batches: gives the batches of a step and of all that follow it.
        selection: gives the logits of the selection patients' studies.
        checkpoints, metrics: where the state and each step's row go.
        clock: seconds from any origin, for the printed rate.
        should_stop: True once somebody asked to save and leave.
    """

    batches: Callable[[int], Iterator[LabelledBatch]]
    selection: Callable[[], Float[Tensor, "n C"]]
    checkpoints: CheckpointStore
    metrics: MetricSink
    clock: Callable[[], float]
    should_stop: Callable[[], bool]


@dataclass(frozen=True, eq=False)
class FitTask:
    """What is fitted, and how.

    Attributes:
        classifier: on the device that computes.
        recipe: steps, rate, warm-up, decay of weights, clipping, precision; steps between scores and checkpoints.
        layer_decay: factor of the learning rate from a block to the one below it.
        patience: scores in a row without improvement after which training ends.
        selection_truth: labels of the selection patients' studies.
        learned: [C] labels that are learned from both classes.
        exclusive: every study has one class.
    """

    classifier: Classifier
    recipe: TrainRecipe
    layer_decay: float
    patience: int
    selection_truth: Bool[Tensor, "n C"]
    learned: Bool[Tensor, "C"]
    exclusive: bool

    @property
    def device(self) -> torch.device:
        """Where the classifier is."""
        return self.classifier.head.weight.device

    def optimizers(self) -> tuple[Optimizer, ...]:
        """What updates the layers, each at its own rate."""
        depth = len(self.classifier.encoder.blocks)
        return make_optimizers(
            self.classifier, self.recipe, partial(layer_scale, depth=depth, layer_decay=self.layer_decay)
        )


@dataclass(frozen=True, eq=False)
class FitProgress:
    """How far a fit is.

    Attributes:
        step: updates made.
        best_step: update after which the selection patients were told best; 0 before the first score.
        best: that score.
        weights: what was trained, as it was then.
        num_worse: scores since.
    """

    step: int = 0
    best_step: int = 0
    best: SelectionScore | None = None
    weights: Mapping[str, Tensor] | None = None
    num_worse: int = 0

    def is_over(self, task: FitTask) -> bool:
        """Whether all steps are made, or patience is at its end."""
        return self.step >= task.recipe.steps or self.num_worse >= task.patience

    def state(self, optimizers: Sequence[Optimizer]) -> State:
        """For a checkpoint."""
        assert self.best is None or self.weights is not None
        return {
            "best_step": self.best_step,
            "best": None if self.best is None else {"auroc": self.best.auroc, "loss": self.best.loss},
            "weights": dict(self.weights or {}),
            "num_worse": self.num_worse,
            "optimizer": optimizer_state(optimizers),
        }

    @classmethod
    def of(cls, step: int, state: Mapping[str, Any]) -> "FitProgress":
        """What `state` was made from."""
        best = None if state["best"] is None else SelectionScore(**state["best"])
        return cls(step, state["best_step"], best, state["weights"] or None, state["num_worse"])


def fit_classifier(
    task: FitTask, outside: FitOutside, progress: FitProgress, moments: Mapping[str, Mapping[str, Tensor]] | None
) -> FitProgress:
    """Train until the last step, the end of patience, or a request to stop; at its end the best weights are in place.

    Args:
        task: its classifier has the weights of `progress`.
        outside: the ports.
        progress: where the fit stands.
        moments: of the optimizers, where it does not begin.

    Returns:
        Where it stands now; not over means that it was asked to stop.

    Raises:
        NonFiniteError: a loss or the gradient is NaN or infinite; before the update.
    """
    optimizers = task.optimizers()
    load_optimizer_state(optimizers, moments or {})
    outside.metrics.rewind(progress.step)
    upcoming = outside.batches(progress.step + 1)
    stopping = False
    while not (stopping or progress.is_over(task)):
        started = outside.clock()
        batch = next(upcoming)
        step = progress.step + 1
        row = _update(task, optimizers, batch, step)
        row["studies_per_second"] = len(batch.truth) / max(outside.clock() - started, 1e-9)
        progress = replace(progress, step=step)
        if step % task.recipe.evaluate_every == 0 or step == task.recipe.steps:
            progress, score = _judge(task, outside, progress)
            row |= {"selection_loss": score.loss, "selection_auroc": score.auroc}
        outside.metrics.write({"step": step, **row})
        stopping = outside.should_stop()
        if stopping or progress.is_over(task) or step % task.recipe.checkpoint_every == 0:
            outside.checkpoints.save(step, task.classifier, progress.state(optimizers))
    if progress.is_over(task) and progress.weights is not None:
        task.classifier.load_state_dict(progress.weights, strict=False)
    return progress


def _update(task: FitTask, optimizers: Sequence[Optimizer], batch: LabelledBatch, step: int) -> dict[str, float]:
    """One step of the optimizers; the learning rate follows the warm-up and half cosine of pre-training."""
    lr = lr_at(step, task.recipe)
    set_lr(optimizers, lr)
    task.classifier.zero_grad(set_to_none=True)
    with numerics(task.device, task.recipe):
        logits = task.classifier(batch.augmented(task.device))
    loss = classification_loss(logits, batch.truth.to(task.device), exclusive=task.exclusive)
    loss.backward()  # pyright: ignore[reportUnknownMemberType]
    trained = [parameter for group in parameter_groups(optimizers) for parameter in group["params"]]
    norm = clip_grad_norm_(trained, task.recipe.grad_clip or math.inf).item()
    row = {"loss": loss.item(), "lr": lr, "grad_norm": norm}
    if not all(math.isfinite(value) for value in row.values()):
        raise NonFiniteError(
            f"step {step}: loss {row['loss']}, gradient norm {norm}; the weights were not changed; studies of the "
            f"batch: {', '.join(batch.study_ids)}; check them, or lower the learning rate"
        )
    for optimizer in optimizers:
        optimizer.step()
    return row


def _judge(task: FitTask, outside: FitOutside, progress: FitProgress) -> tuple[FitProgress, SelectionScore]:
    """The progress after a score of the selection patients, and that score."""
    said = probabilities(outside.selection(), exclusive=task.exclusive)
    score = selection_score(said, task.selection_truth, learned=task.learned, exclusive=task.exclusive)
    if progress.best is not None and not score.beats(progress.best):
        return replace(progress, num_worse=progress.num_worse + 1), score
    weights = trained_weights(task.classifier)
    return replace(progress, best_step=progress.step, best=score, weights=weights, num_worse=0), score
