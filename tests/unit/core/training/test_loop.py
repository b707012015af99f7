"""The loop: accumulation, what is written when, stopping, continuing, and values that are not finite."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from support.small_models import ThreadRank, on_ranks
from support.tiny import FixedBatches, KeptInMemory, Numbers, OneWeight, Rows, make_batch, make_model
from torch import Tensor, nn

from simcrop.core.data.batch import Batch, PreparedBatch
from simcrop.core.errors import CheckpointError, NonFiniteError
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ports import SingleProcess
from simcrop.core.recipe import (
    AlignmentRecipe,
    LateInteractionRecipe,
    ObjectivesRecipe,
    Optimisation,
    ReconstructionRecipe,
    ReportRecipe,
    TrainRecipe,
)
from simcrop.core.training.learner import PreTraining, counts_of, held_out_losses
from simcrop.core.training.loop import Ports, fit, train_step
from simcrop.core.training.optimization import load_optimizer_state, lr_at, make_optimizers, parameter_groups
from simcrop.core.training.progress import Progress

ALONE = SingleProcess()
RECIPE = TrainRecipe(
    steps=6, warmup_steps=2, batch_size=2, lr=0.01, checkpoint_every=2, evaluate_every=3, picture_every=4
)
WITHOUT_NEGATIVES = ObjectivesRecipe(
    alignment=AlignmentRecipe(weight=0.0), late_interaction=LateInteractionRecipe(weight=0.0)
)
REPORT_NEGATIVES = ObjectivesRecipe(
    alignment=AlignmentRecipe(top_k=2), late_interaction=LateInteractionRecipe(weight=0.0)
)


def make_learner(model: SimCroP | None = None, recipe: TrainRecipe = RECIPE, seed: int = 0) -> PreTraining:
    model = model or make_model()
    return PreTraining(model, model, make_optimizers(model, recipe), recipe, seed, torch.device("cpu"))


class Ticks:
    """A clock that advances one second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@dataclass
class Drawn:
    """The port PictureSink; remembers the steps and whether dropout was off."""

    steps: list[int] = field(default_factory=list)

    def draw(self, step: int, model: nn.Module) -> None:
        assert not model.training
        self.steps.append(step)


HELD_OUT = [make_batch([1, 2], key="held out").augmented()]


def make_ports(learner: PreTraining, *, held_out: Sequence[Batch] = HELD_OUT, **changes: Any) -> Ports[PreparedBatch]:
    ports = Ports(
        batches=FixedBatches().batches,
        score=lambda: held_out_losses(learner, held_out, ports.communicator),
        communicator=ALONE,
        checkpoints=KeptInMemory(),
        metrics=Rows(),
        should_stop=lambda: False,
        clock=Ticks(),
        counts=counts_of,
        picture_every=4,
        puts_best_back=False,
    )
    return replace(ports, **changes)


def run(learner: PreTraining, progress: Progress | None = None, **changes: Any) -> Progress:
    return fit(learner, make_ports(learner, **changes), progress or Progress())


def gradients(model: SimCroP) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("objectives", [WITHOUT_NEGATIVES, REPORT_NEGATIVES], ids=["reconstructions", "alignment"])
def test_micro_batches_add_up_to_one_batch(objectives: ObjectivesRecipe) -> None:
    counts = [1, 3, 2, 2]
    whole, parts = make_learner(make_model(objectives)), make_learner(make_model(objectives))
    halves = [make_batch(counts[:1]), make_batch(counts[1:], room=1)]
    row = train_step(whole, [make_batch(counts)], step=1, communicator=ALONE)
    split_row = train_step(parts, halves, step=1, communicator=ALONE)
    assert split_row == pytest.approx(row, rel=1e-5)
    for name, gradient in gradients(whole.model).items():
        torch.testing.assert_close(gradients(parts.model)[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_row_has_every_term_and_a_term_switched_off_is_absent() -> None:
    row = train_step(make_learner(), [make_batch([2, 1])], step=1, communicator=ALONE)
    terms = ["loss_reconstruction", "loss_report", "loss_alignment", "loss_late_interaction"]
    assert list(row) == ["loss", *terms, "lr", "grad_norm"]
    assert row["loss"] == pytest.approx(sum(row[term] for term in terms), rel=1e-6)
    reduced = train_step(make_learner(make_model(WITHOUT_NEGATIVES)), [make_batch([2, 1])], step=1, communicator=ALONE)
    assert list(reduced) == ["loss", *terms[:2], "lr", "grad_norm"]


def test_weights_of_terms_count_in_the_total() -> None:
    objectives = replace(
        WITHOUT_NEGATIVES, reconstruction=ReconstructionRecipe(weight=3.0), report=ReportRecipe(weight=0.5)
    )
    row = train_step(make_learner(make_model(objectives)), [make_batch([2, 1])], step=1, communicator=ALONE)
    assert row["loss"] == pytest.approx(3.0 * row["loss_reconstruction"] + 0.5 * row["loss_report"], rel=1e-6)


def test_gradient_norm_is_logged_before_clipping_and_clipped_after() -> None:
    free, clipped = (make_learner(recipe=replace(RECIPE, grad_clip=clip)) for clip in (None, 0.1))
    rows = [train_step(learner, [make_batch([2, 1])], step=1, communicator=ALONE) for learner in (free, clipped)]
    assert rows[0] == rows[1]
    norms = [torch.cat([g.flatten() for g in gradients(learner.model).values()]).norm() for learner in (free, clipped)]
    assert norms[0].item() == pytest.approx(rows[0]["grad_norm"], rel=1e-5)
    assert rows[0]["grad_norm"] > 0.1
    assert norms[1].item() == pytest.approx(0.1, rel=1e-3)


def test_the_rate_of_the_step_is_used() -> None:
    learner = make_learner()
    for step in (1, 4):
        row = train_step(learner, [make_batch([1])], step=step, communicator=ALONE)
        assert row["lr"] == lr_at(step, RECIPE)
        assert {group["lr"] for group in parameter_groups(learner.optimizers)} == {row["lr"]}


@pytest.mark.parametrize("poison", ["loss", "gradient"])
def test_values_that_are_not_finite_stop_before_the_update(poison: str) -> None:
    learner = make_learner()
    train_step(learner, [make_batch([2, 1])], step=1, communicator=ALONE)
    if poison == "loss":
        with torch.no_grad():
            learner.model.text_encoder.words.weight[4:] = torch.nan
        next(parameter_groups(learner.optimizers))["weight_decay"] = 0.0
    else:
        weight = learner.model.encoder.cls_token
        weight.register_hook(lambda gradient: gradient * torch.inf)
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    batches = [make_batch([0, 0], key="fine"), make_batch([2, 1], key="bad")]
    with pytest.raises(NonFiniteError, match=r"^step 2: .*(nan|inf).*study_bad_0, study_bad_1; check") as caught:
        train_step(learner, batches, step=2, communicator=ALONE)
    assert ("study_fine_0" in str(caught.value)) == (poison == "gradient")
    assert ("grad_norm" in str(caught.value)) or poison == "loss"
    for name, value in learner.model.state_dict().items():
        assert torch.equal(value.nan_to_num(), before[name].nan_to_num()), name


def test_another_ranks_bad_loss_stops_this_rank_too() -> None:
    class BadNeighbour(SingleProcess):
        world_size = 2

        def sum(self, value: Tensor) -> Tensor:
            return value + torch.nan if value.is_floating_point() else value

    with pytest.raises(NonFiniteError, match="step 1"):
        train_step(make_learner(), [make_batch([1])], step=1, communicator=BadNeighbour())


def test_fit_writes_each_step_once_and_saves_evaluates_and_draws_on_time() -> None:
    store, rows, pictures = KeptInMemory(), Rows([{"step": 1}, {"step": 2}]), Drawn()
    learner = make_learner()
    progress = run(learner, checkpoints=store, metrics=rows, pictures=pictures)
    assert progress.step == 6
    assert [row["step"] for row in rows.rows] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows.rows if "validation_loss" in row] == [3, 6]
    assert sorted(store.saved) == [2, 3, 4, 6]  # every second, the last, and 3 as the best so far
    assert pictures.steps == [4, 6]
    assert learner.model.training
    assert store.saved[3][2]["validation_loss"] == rows.rows[2]["validation_loss"]
    assert store.saved[4][2] == {}
    assert progress.best is not None
    assert progress.best["validation_loss"] == min(rows.rows[2]["validation_loss"], rows.rows[5]["validation_loss"])


def test_a_steps_row_and_pictures_come_before_its_checkpoint() -> None:
    rows, store, order = Rows(), KeptInMemory(), list[tuple[int, bool, bool]]()

    class Order(Drawn):
        def draw(self, step: int, model: nn.Module) -> None:
            order.append((step, rows.rows[-1]["step"] == step, step in store.saved))

    run(make_learner(), checkpoints=store, metrics=rows, pictures=Order())
    assert order == [(4, True, False), (6, True, False)]
    assert {4, 6} < store.saved.keys()


def test_a_checkpoint_that_cannot_be_kept_stops_the_next_step() -> None:
    class Full(KeptInMemory):
        finished = 0

        def check(self) -> None:
            if 4 in self.saved:
                raise CheckpointError("step 4: cannot be written")

        def finish(self) -> None:
            self.finished += 1

    rows, store = Rows(), Full()
    with pytest.raises(CheckpointError, match="step 4"):
        run(make_learner(), checkpoints=store, metrics=rows)
    assert [row["step"] for row in rows.rows] == [1, 2, 3, 4]
    assert store.finished == 1
    run(make_learner(), checkpoints=(whole := Full()), should_stop=lambda: True)
    assert whole.finished == 1


def test_rates_come_from_the_clock() -> None:
    rows = Rows()
    run(make_learner(), metrics=rows)
    assert all(row["studies_per_second"] == 1.0 and row["data_wait"] == 0.5 for row in rows.rows)


def test_a_request_to_stop_finishes_the_step_and_saves_it() -> None:
    store, rows = KeptInMemory(), Rows()
    asked: list[int] = []

    class StopDuringThird(FixedBatches):
        def batches(self, first_step: int) -> Iterator[Sequence[PreparedBatch]]:
            for step, batches in enumerate(super().batches(first_step), first_step):
                if step == 3:
                    asked.append(step)
                yield batches

    stop = StopDuringThird().batches
    progress = run(make_learner(), batches=stop, checkpoints=store, metrics=rows, should_stop=lambda: bool(asked))
    assert progress.step == 3
    assert max(store.saved) == 3
    assert [row["step"] for row in rows.rows] == [1, 2, 3]


@pytest.mark.parametrize("stop_after", [2, 3, 5])
def test_a_continued_run_is_the_run_that_never_stopped(stop_after: int) -> None:
    def learner() -> PreTraining:
        return make_learner(make_model(dropout=0.2))

    whole = Rows()
    run(learner(), metrics=whole, clock=lambda: 0.0)
    rows, store = Rows(), KeptInMemory()
    ports = {"metrics": rows, "checkpoints": store, "clock": lambda: 0.0}
    stopped = run(learner(), should_stop=lambda: len(rows.rows) == stop_after, **ports)
    assert stopped.step == stop_after
    rows.write({"step": stopped.step + 1})  # written by a process that died before it could save
    weights, state, _ = store.saved[stopped.step]
    resumed = learner()
    resumed.model.load_state_dict(weights)
    load_optimizer_state(resumed.optimizers, state["optimizer"])
    run(resumed, Progress.of(stopped.step, state), **ports)
    assert rows.rows == whole.rows


def test_a_finished_run_does_nothing() -> None:
    store, rows = KeptInMemory(), Rows()
    finished = Progress(6, 3, {"validation_loss": 1.0})
    assert run(make_learner(), finished, checkpoints=store, metrics=rows) == finished
    assert not store.saved
    assert not rows.rows


def test_ranks_without_rank_0_write_nothing() -> None:
    class SecondOfTwo(SingleProcess):
        rank, world_size = 1, 2

    store, rows, pictures = KeptInMemory(), Rows(), Drawn()
    ports = {"communicator": SecondOfTwo(), "checkpoints": store, "metrics": rows, "pictures": pictures}
    run(make_learner(make_model(WITHOUT_NEGATIVES)), **ports)
    assert not store.saved
    assert not rows.rows
    assert not pictures.steps


def test_without_held_out_studies_there_is_no_held_out_loss() -> None:
    rows = Rows()
    assert run(make_learner(), held_out=[], metrics=rows).best is None
    assert not any("validation_loss" in row for row in rows.rows)


SMALL = Optimisation(steps=6, lr=0.1, weight_decay=0.0, warmup_steps=0, evaluate_every=1, patience=2)


def small_ports(scores: Sequence[float], **changes: Any) -> Ports[Numbers]:
    """One that gives these scores, one after the other; the larger is the better."""
    told = iter(scores)
    ports = Ports[Numbers](
        batches=lambda first: ([Numbers((float(step),))] for step in itertools.count(first)),
        score=lambda: {"score": next(told)},
        communicator=ALONE,
        checkpoints=KeptInMemory(),
        metrics=Rows(),
        should_stop=lambda: False,
    )
    return replace(ports, **changes)


def test_a_steps_loss_and_gradient_are_those_of_its_micro_batches_together() -> None:
    whole, parts = OneWeight(SMALL), OneWeight(SMALL)
    row = train_step(whole, [Numbers((1.0, 2.0, 6.0))], step=1, communicator=ALONE)
    assert train_step(parts, [Numbers((1.0, 2.0)), Numbers((6.0,))], step=1, communicator=ALONE) == row
    assert row == {"loss": 3.0, "loss_twice": 6.0, "lr": 0.1, "grad_norm": 3.0}
    assert parts.weight == whole.weight == pytest.approx(0.9)


def test_patience_ends_training_and_the_best_weights_are_put_back() -> None:
    learner, store, rows = OneWeight(SMALL), KeptInMemory(), Rows()
    progress = fit(learner, small_ports([1, 3, 2, 3, 9], checkpoints=store, metrics=rows), Progress())
    assert (progress.step, progress.best_step, progress.best, progress.num_worse) == (4, 2, {"score": 3}, 2)
    assert list(store.saved) == [4]
    assert learner.weight == progress.weights["weight"].item() != store.saved[4][0]["weight"].item()
    assert rows.rows[0]["loss"] == 1.0, "the first step reads the batch of step 1"
    assert all("studies_per_second" not in row for row in rows.rows), "there is no clock"


def test_where_the_best_step_is_a_checkpoint_of_its_own_the_last_weights_stay() -> None:
    learner, store = OneWeight(SMALL), KeptInMemory()
    progress = fit(learner, small_ports([1, 3, 2, 2], checkpoints=store, puts_best_back=False), Progress())
    assert list(store.saved) == [1, 2, 4]
    assert not progress.weights
    assert learner.weight == store.saved[4][0]["weight"].item()


def test_the_last_step_is_scored_and_no_other_where_no_interval_is_given() -> None:
    rows, settings = Rows(), replace(SMALL, evaluate_every=None)
    progress = fit(OneWeight(settings), small_ports([5], metrics=rows), Progress())
    assert [row["step"] for row in rows.rows if "score" in row] == [6]
    assert (progress.best_step, progress.num_worse) == (6, 0)


def test_steps_ahead_of_the_first_score_are_no_candidates() -> None:
    rows, settings = Rows(), replace(SMALL, evaluate_after=3, patience=None)
    progress = fit(OneWeight(settings), small_ports([1, 3, 2], metrics=rows), Progress())
    assert [row["step"] for row in rows.rows if "score" in row] == [4, 5, 6]
    assert progress.best_step == 5
    rows, settings = Rows(), replace(SMALL, evaluate_after=9)
    assert fit(OneWeight(settings), small_ports([1], metrics=rows), Progress()).best_step == 6


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_stopped_training_goes_on_with_its_best_weights_and_its_patience(stop_after: int) -> None:
    scores = [1, 3, 2, 3, 9]
    whole, store, rows = OneWeight(SMALL), KeptInMemory(), Rows()
    expected = fit(whole, small_ports(scores), Progress())
    stop = {"checkpoints": store, "metrics": rows, "should_stop": lambda: len(rows.rows) == stop_after}
    first = fit(OneWeight(SMALL), small_ports(scores, **stop), Progress())
    assert not first.is_finished(SMALL)
    weights, state, _ = store.saved[stop_after]
    learner = OneWeight(SMALL)
    learner.model.load_state_dict(weights)
    load_optimizer_state(learner.optimizers, state["optimizer"])
    second = fit(learner, small_ports(scores[stop_after:]), Progress.of(stop_after, state))
    assert replace(second, weights={}) == replace(expected, weights={})
    assert learner.weight == whole.weight


def test_what_is_not_finite_is_named_with_its_studies_and_changes_nothing() -> None:
    learner = OneWeight(SMALL)
    with pytest.raises(NonFiniteError) as caught:
        train_step(learner, [Numbers((1.0, 2.0)), Numbers((torch.inf,))], step=3, communicator=ALONE)
    assert str(caught.value) == (
        "step 3: loss = inf, loss_twice = inf, grad_norm = inf; the weights were not changed; studies of this rank's "
        "batch: inf; check them, or lower the learning rate (lr)"
    )
    assert learner.weight == 1.0


def test_ranks_leave_together_when_one_of_them_is_asked_to() -> None:
    def stopped(rank: ThreadRank) -> tuple[Progress, list[int], list[int]]:
        read, store, asked = list[int](), KeptInMemory(), itertools.count(1)

        def batches(first_step: int) -> Iterator[Sequence[Numbers]]:
            for step in itertools.count(first_step):
                read.append(step)
                yield [Numbers((float(step),))]

        ports = small_ports(
            [], batches=batches, communicator=rank, checkpoints=store, should_stop=lambda: next(asked) == 2 * rank.rank
        )
        return fit(OneWeight(replace(SMALL, evaluate_every=None)), ports, Progress()), list(store.saved), read

    (first, saved, read), (second, _, read_by_the_asked) = on_ranks(2, stopped)
    assert (first.step, second.step, saved) == (2, 2, [2])
    assert (read, read_by_the_asked) == ([1, 2, 3], [1, 2]), "who is asked to stop waits for no batch"


def test_a_step_has_one_exchange_before_it_and_one_for_its_losses() -> None:
    class Counting(SingleProcess):
        def __init__(self) -> None:
            self.sums: list[torch.dtype] = []

        def sum(self, value: Tensor) -> Tensor:
            self.sums.append(value.dtype)
            return value

    ranks = Counting()
    run(make_learner(recipe=replace(RECIPE, steps=3, evaluate_every=None)), communicator=ranks, held_out=[])
    assert ranks.sums[:6] == [torch.int64, torch.float32] * 3
