"""The training loop: one update, held-out losses, and the order in which a step's results are written down.

Everything outside (data, ranks, files, clock, signals) comes in through ports, so the same loop runs on one CPU, one
GPU or several ranks. No state lives here: what a continuation needs is the model, the optimizer's moments and the
number of the last step (docs/method.md, section 6).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from simcrop.core.data.batch import Batch, PreparedBatch
from simcrop.core.errors import NonFiniteError
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.objectives.losses import Counts
from simcrop.core.ports import BatchSource, CheckpointStore, Communicator, MetricSink, PictureSink, State
from simcrop.core.randomness import derive_seed
from simcrop.core.training.learner import Learner, held_out_losses, numerics
from simcrop.core.training.optimization import lr_at, optimizer_state, parameter_groups, set_lr


@dataclass(frozen=True)
class Outside:
    """What a run talks to.

    Attributes:
        batches: training micro-batches of this rank.
        held_out: gives this rank's share of the fixed held-out batches, the same ones at every call.
        communicator: the ranks.
        checkpoints, metrics, pictures: written to on rank 0 only; no pictures where it is None.
        clock: seconds from any origin; it feeds the printed rates and nothing else.
        should_stop: True once somebody asked the run to save and leave.
    """

    batches: BatchSource
    held_out: Callable[[], Iterable[Batch]]
    communicator: Communicator
    checkpoints: CheckpointStore
    metrics: MetricSink
    pictures: PictureSink | None
    clock: Callable[[], float]
    should_stop: Callable[[], bool]


@dataclass(frozen=True)
class Progress:
    """How far a run is: updates made, and the lowest held-out loss so far (None before the first)."""

    step: int = 0
    best_validation_loss: float | None = None


def train_step(
    learner: Learner, batches: Sequence[PreparedBatch], *, step: int, communicator: Communicator
) -> dict[str, float]:
    """One update from the micro-batches of a step.

    Args:
        learner: what is trained.
        batches: this rank's micro-batches, on the CPU.
        step: number of the update, from 1; sets learning rate and dropout.
        communicator: the ranks; all call with the same step.

    Returns:
        `loss`, `loss_TERM` for every term that is switched on (a term of weight 0 is absent), `lr`, and `grad_norm`
        before clipping: the same on every rank.

    Raises:
        NonFiniteError: a loss or the gradient is NaN or infinite; on every rank, before the update.
    """
    recipe = learner.recipe
    counts = Counts.of(batches, learner.model.objectives).reduced(communicator)
    lr = lr_at(step, recipe)
    set_lr(learner.optimizers, lr)
    learner.network.zero_grad(set_to_none=True)
    losses = [
        _backward(learner, batch, counts, communicator, step=step, index=index, last=index == len(batches) - 1)
        for index, batch in enumerate(batches)
    ]
    local = torch.stack([torch.stack(list(terms.values())) for terms in losses])
    values = communicator.sum(local.sum(0)) / communicator.world_size
    parameters = [parameter for group in parameter_groups(learner.optimizers) for parameter in group["params"]]
    norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    numbers = cast(list[float], values.tolist())
    row = dict(zip(losses[0], numbers, strict=True)) | {"lr": lr, "grad_norm": norm.item()}
    if not all(math.isfinite(value) for value in row.values()):
        raise NonFiniteError(_describe(step, row, local, batches))
    if recipe.grad_clip is not None:
        clip_grads_with_norm_(parameters, recipe.grad_clip, norm)
    for optimizer in learner.optimizers:
        optimizer.step()
    return row


def _backward(
    learner: Learner,
    prepared: PreparedBatch,
    counts: Counts,
    communicator: Communicator,
    *,
    step: int,
    index: int,
    last: bool,
) -> dict[str, Tensor]:
    seed = derive_seed("dropout", learner.seed, step, index, communicator.rank)
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    with nullcontext() if last else _without_exchange(learner.network):
        with numerics(learner.device, learner.recipe):
            batch = prepared.to(learner.device, non_blocking=True).augmented()
            terms: dict[str, Tensor] = learner.network(batch, counts, communicator)
            loss = learner.model.total(terms)
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
    return {"loss": loss.detach(), **{f"loss_{name}": value.detach() for name, value in terms.items()}}


def _without_exchange(network: nn.Module) -> AbstractContextManager[None]:
    """Gradients travel between ranks once a step, with its last micro-batch."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def _describe(step: int, row: Mapping[str, float], local: Tensor, batches: Sequence[PreparedBatch]) -> str:
    bad = [f"{name} = {value}" for name, value in row.items() if not math.isfinite(value)]
    own = [batch for batch, losses in zip(batches, local, strict=True) if not bool(losses.isfinite().all())]
    # Where only the gradient overflowed, or another rank's loss did, all studies of the step are suspects.
    studies = ", ".join(name for batch in own or batches for name in batch.inputs.study_ids)
    return (
        f"step {step}: {', '.join(bad)}; the weights were not changed; studies of this rank's batch: {studies}; "
        f"check them, or lower train.lr"
    )


def fit(learner: Learner, outside: Outside, progress: Progress) -> Progress:
    """Train until the last step or a request to stop; either way the last state is saved.

    A step's row is written before its checkpoint, so that a run resumed from any checkpoint has every earlier row.

    Args:
        learner: model and optimizers in the state of `progress`.
        outside: the ports.
        progress: where the run stands; rows after it are dropped.

    Returns:
        Where the run stands now; `step` below `recipe.steps` means that it was asked to stop.

    Raises:
        NonFiniteError: see `train_step`.
    """
    recipe, is_writer = learner.recipe, outside.communicator.rank == 0
    if is_writer:
        outside.metrics.rewind(progress.step)
    learner.model.train()
    upcoming = iter(outside.batches.batches(progress.step))
    stopping = progress.step >= recipe.steps
    while not stopping:
        step = progress.step + 1
        last = step == recipe.steps
        row = _timed_step(learner, outside, upcoming, step)
        validation: dict[str, float] = {}
        if last or step % recipe.evaluate_every == 0:
            validation = held_out_losses(learner, outside.held_out(), outside.communicator)
        progress, is_best = _advance(progress, step, validation)
        stopping = last or _asked_to_stop(outside)
        if is_writer:
            outside.metrics.write({"step": step, **row, **validation})
        if stopping or is_best or step % recipe.checkpoint_every == 0:
            _save(learner, outside, progress, validation)
        if outside.pictures and is_writer and (last or step % recipe.picture_every == 0):
            _draw(learner.model, outside.pictures, step)
    return progress


def _timed_step(
    learner: Learner, outside: Outside, upcoming: Iterator[Sequence[PreparedBatch]], step: int
) -> dict[str, float]:
    start = outside.clock()
    batches = next(upcoming)
    ready = outside.clock()
    row = train_step(learner, batches, step=step, communicator=outside.communicator)
    seconds = max(outside.clock() - start, 1e-9)
    num_studies = sum(len(batch) for batch in batches) * outside.communicator.world_size
    num_cut = outside.communicator.sum(torch.tensor(sum(batch.inputs.num_cut for batch in batches))).item()
    return row | {
        "studies_per_second": num_studies / seconds,
        "data_wait": (ready - start) / seconds,
        "num_cut": int(num_cut),
    }


def _advance(progress: Progress, step: int, validation: Mapping[str, float]) -> tuple[Progress, bool]:
    loss, best = validation.get("validation_loss", math.inf), progress.best_validation_loss
    is_best = loss < (math.inf if best is None else best)
    return Progress(step, loss if is_best else best), is_best


def _asked_to_stop(outside: Outside) -> bool:
    # A signal may reach one rank alone, or two ranks in different steps: they leave together.
    asked = torch.tensor(float(outside.should_stop()))
    return outside.communicator.sum(asked).item() > 0


def _save(learner: Learner, outside: Outside, progress: Progress, validation: Mapping[str, float]) -> None:
    if outside.communicator.rank == 0:
        state: State = {
            "best_validation_loss": progress.best_validation_loss,
            "optimizer": optimizer_state(learner.optimizers),
        }
        outside.checkpoints.save(progress.step, learner.model, state, metrics=validation)
    outside.communicator.barrier()


def _draw(model: SimCroP, pictures: PictureSink, step: int) -> None:
    model.eval()
    with torch.no_grad():
        pictures.draw(step, model)
    model.train()
