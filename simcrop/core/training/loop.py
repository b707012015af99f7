"""The one training loop: updates, scores of what is not learned from, the best step, patience, and resumable states.

Pre-training, the fine-tuning of a classifier and that of a segmenter each hand in a `Learner` (the loss) and an
`Ports` (data, score, ranks, files, clock, signals), so the same loop runs on one CPU, one GPU or several ranks. No
state lives here: what a continuation needs is the weights, the optimizers' moments and a `Progress` (docs/method.md,
section 6).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from simcrop.core.errors import NonFiniteError
from simcrop.core.ports import CheckpointStore, Communicator, MetricSink, PictureSink, summed
from simcrop.core.recipe import Optimisation
from simcrop.core.training.optimization import lr_at, optimizer_state, parameter_groups, set_lr
from simcrop.core.training.progress import Progress, trained_weights


class Named(Protocol):
    """Any batch."""

    @property
    def study_ids(self) -> tuple[str, ...]:
        """Its studies, for messages and rates."""
        ...


B = TypeVar("B", bound=Named)
B_contra = TypeVar("B_contra", bound=Named, contravariant=True)


class Learner(Protocol[B_contra]):
    """A network that is trained, and its loss."""

    best_by: ClassVar[tuple[str, ...]]
    """Names of the score's numbers that order steps, the first before the second; with a minus, less is better."""

    @property
    def model(self) -> nn.Module:
        """The network whose weights are saved."""
        ...

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """From `make_optimizers`."""
        ...

    @property
    def settings(self) -> Optimisation:
        """Steps, rate, and when to score and save."""
        ...

    def counts(self, batches: Sequence[B_contra], communicator: Communicator) -> Sequence[int]:
        """Integers of this rank's batches, as many for none as for some; `losses` is given their sums over ranks."""
        ...

    def losses(
        self, batches: Sequence[B_contra], *, step: int, totals: Sequence[int], communicator: Communicator
    ) -> Iterator[Mapping[str, Tensor]]:
        """`loss`, with its graph, and its terms, for one micro-batch after the other.

        The loop goes backward from `loss` before it asks for the next, and adds up gradients and values: a micro-batch
        gives its share of the step's mean.
        """
        ...


@dataclass(frozen=True)
class Ports(Generic[B]):
    """Ports of a training.

    Attributes:
        batches: gives this rank's micro-batches of a step, counted from 1, and of all that follow it.
        score: numbers of the model on studies that it does not learn from; empty where there are none. It may leave the
            model in eval mode.
        communicator: the ranks.
        checkpoints, metrics, pictures: written to on rank 0 only; no pictures where it is None.
        should_stop: True once somebody asked to save and leave.
        clock: seconds from any origin, for the rates in a row and nothing else; None leaves them out.
        counts: more numbers of a step's batches for its row, summed over ranks; the same names for no batch.
        picture_every: steps between pictures.
        puts_best_back: the best step's weights are carried along and are the model's in the end; else that step is
            saved as a checkpoint.
    """

    batches: Callable[[int], Iterator[Sequence[B]]]
    score: Callable[[], Mapping[str, float]]
    communicator: Communicator
    checkpoints: CheckpointStore
    metrics: MetricSink
    should_stop: Callable[[], bool]
    clock: Callable[[], float] | None = None
    counts: Callable[[Sequence[B]], Mapping[str, int]] = lambda batches: {}
    pictures: PictureSink | None = None
    picture_every: int = 1
    puts_best_back: bool = True


def fit(learner: Learner[B], ports: Ports[B], progress: Progress) -> Progress:
    """Train until the last step, the end of patience, or a request to stop; the last state is saved in any case.

    A step's row is written and its pictures are drawn before its checkpoint, so that a training resumed from any has
    those of every earlier step.

    Args:
        learner: model and optimizers in the state of `progress`.
        ports: the ports.
        progress: where the training stands; rows after it are dropped.

    Returns:
        Where it stands now; not over means that it was asked to stop. All checkpoints are kept by then.

    Raises:
        NonFiniteError: see `train_step`.
        CheckpointError: a checkpoint cannot be kept.
    """
    try:
        progress = _train(learner, ports, progress)
    except Exception:  # who leaves at once, by a second signal, does not wait
        ports.checkpoints.finish()
        raise
    ports.checkpoints.finish()
    return progress


def _train(learner: Learner[B], ports: Ports[B], progress: Progress) -> Progress:
    settings, is_writer = learner.settings, ports.communicator.rank == 0
    if is_writer:
        ports.metrics.rewind(progress.step)
    learner.model.train()
    upcoming = iter(ports.batches(progress.step + 1))
    is_finished, asked_to_stop, saved = progress.is_finished(settings), False, progress.step
    score: Mapping[str, float] = {}
    while not is_finished:
        ports.checkpoints.check()
        step = progress.step + 1
        row = _timed_step(learner, ports, upcoming, step, asked_to_stop=asked_to_stop)
        if row is None:
            break
        score = _score(learner, ports, step)
        progress = replace(progress, step=step).scored(score, learner.best_by)
        is_best = progress.best_step == step
        if is_best and ports.puts_best_back:
            progress = replace(progress, weights=trained_weights(learner.model))
        if is_writer:
            ports.metrics.write({"step": step, **row, **score})
        is_finished = progress.is_finished(settings)
        if ports.pictures and is_writer and (is_finished or step % ports.picture_every == 0):
            _draw(learner.model, ports.pictures, step)
        if is_finished or (is_best and not ports.puts_best_back) or step % settings.checkpoint_every == 0:
            _save(learner, ports, progress, score)
            saved = step
        asked_to_stop = ports.should_stop()
    if saved != progress.step:
        _save(learner, ports, progress, score)
    if is_finished and progress.weights:
        learner.model.load_state_dict(progress.weights, strict=False)
    return progress


def train_step(
    learner: Learner[B],
    batches: Sequence[B],
    *,
    step: int,
    communicator: Communicator,
    totals: Sequence[int] | None = None,
) -> dict[str, float]:
    """One update from the micro-batches of a step.

    Between the batches' arrival on a GPU and the update the CPU waits for it once: for the numbers of the row.

    Args:
        learner: what is trained.
        batches: this rank's micro-batches, on the CPU.
        step: number of the update, from 1; sets the learning rate.
        communicator: the ranks; all call with the same step.
        totals: the learner's counts summed over ranks, where the caller has summed them already.

    Returns:
        The losses, the mean over ranks; `lr`, and `grad_norm` before clipping: the same on every rank.

    Raises:
        NonFiniteError: a loss or the gradient is NaN or infinite; on every rank, before the update.
    """
    lr = lr_at(step, learner.settings)
    set_lr(learner.optimizers, lr)
    learner.model.zero_grad(set_to_none=True)
    losses: list[Mapping[str, Tensor]] = []
    if totals is None:
        totals = summed(communicator, learner.counts(batches, communicator))
    for terms in learner.losses(batches, step=step, totals=totals, communicator=communicator):
        terms["loss"].backward()  # pyright: ignore[reportUnknownMemberType]
        losses.append({name: value.detach() for name, value in terms.items()})
    local = torch.stack([torch.stack(list(terms.values())) for terms in losses])
    values = communicator.sum(local.sum(0)) / communicator.world_size
    parameters = [parameter for group in parameter_groups(learner.optimizers) for parameter in group["params"]]
    norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    *numbers, grad_norm = cast(list[float], torch.cat([values, norm[None]]).tolist())
    row = dict(zip(losses[0], numbers, strict=True)) | {"lr": lr, "grad_norm": grad_norm}
    if not all(math.isfinite(value) for value in row.values()):
        raise NonFiniteError(_describe(step, row, local, batches))
    if learner.settings.grad_clip is not None:
        clip_grads_with_norm_(parameters, learner.settings.grad_clip, norm)
    for optimizer in learner.optimizers:
        optimizer.step()
    return row


def _describe(step: int, row: Mapping[str, float], local: Tensor, batches: Sequence[Named]) -> str:
    bad = [f"{name} = {value}" for name, value in row.items() if not math.isfinite(value)]
    own = [batch for batch, losses in zip(batches, local, strict=True) if not bool(losses.isfinite().all())]
    # Where only the gradient overflowed, or another rank's loss did, all studies of the step are suspects.
    studies = ", ".join(name for batch in own or batches for name in batch.study_ids)
    return (
        f"step {step}: {', '.join(bad)}; the weights were not changed; studies of this rank's batch: {studies}; "
        f"check them, or lower the learning rate (lr)"
    )


def _timed_step(
    learner: Learner[B], ports: Ports[B], upcoming: Iterator[Sequence[B]], step: int, *, asked_to_stop: bool
) -> dict[str, float] | None:
    """The row of a step; None, and nothing is done, where any rank was asked to stop."""
    clock, ranks = ports.clock or (lambda: 0.0), ports.communicator
    start = clock()
    batches = () if asked_to_stop else next(upcoming)
    ready = clock()
    # One exchange for all that the CPUs have to tell each other. A signal may reach one rank alone, or two ranks in
    # different steps: they leave together.
    own, noted = learner.counts(batches, ranks), ports.counts(batches)
    asked, *sums = summed(ranks, [int(asked_to_stop), *own, *noted.values()])
    if asked:
        return None
    row = train_step(learner, batches, step=step, communicator=ranks, totals=sums[: len(own)])
    if ports.clock is not None:
        seconds = max(clock() - start, 1e-9)
        num_studies = sum(len(batch.study_ids) for batch in batches) * ranks.world_size
        row |= {"studies_per_second": num_studies / seconds, "data_wait": (ready - start) / seconds}
    return {**row, **dict(zip(noted, sums[len(own) :], strict=True))}


def _score(learner: Learner[B], ports: Ports[B], step: int) -> Mapping[str, float]:
    settings = learner.settings
    every, is_last = settings.evaluate_every, step == settings.steps
    if not is_last and (every is None or step % every or step <= settings.evaluate_after):
        return {}
    score = ports.score()
    learner.model.train()
    return score


def _save(learner: Learner[B], ports: Ports[B], progress: Progress, score: Mapping[str, float]) -> None:
    if ports.communicator.rank == 0:
        state = {**progress.state(), "optimizer": optimizer_state(learner.optimizers)}
        ports.checkpoints.save(progress.step, learner.model, state, metrics=score)


def _draw(model: nn.Module, pictures: PictureSink, step: int) -> None:
    model.eval()
    with torch.no_grad():
        pictures.draw(step, model)
    model.train()
