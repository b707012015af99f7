"""Training a classifier: it learns, stops early at the right weights, and continues as if never interrupted."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from simcrop.core.data.augment import Augmentation
from simcrop.core.errors import NonFiniteError
from simcrop.core.evaluation.classifier import Classifier, trained_weights
from simcrop.core.evaluation.fitting import FitOutside, FitProgress, FitTask, LabelledBatch, fit_classifier
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.randomness import generator
from simcrop.core.recipe import ModelRecipe, TrainRecipe
from simcrop.core.reference import REFERENCE

RECIPE = ModelRecipe(volume_size=(8, 8, 8), patch_size=(4, 4, 4), embed_dim=12, depth=1, num_heads=2)
TRAIN = TrainRecipe(steps=12, batch_size=4, lr=3e-3, warmup_steps=2, evaluate_every=3, checkpoint_every=2)


def volumes(truth: Tensor, *names: object) -> Tensor:
    """Air, and tissue in one half where the finding is there."""
    voxels = torch.randint(-1000, -900, (len(truth), 9, 8, 8), dtype=torch.int16, generator=generator(*names))
    voxels[truth[:, 0], 4:] = 200
    return voxels


def batch_of(step: int) -> LabelledBatch:
    truth = torch.rand(4, 1, generator=generator("truth", step)) < 0.5
    shift = Augmentation((step % 2, 0, 0), (8, 8, 8), (8, 8, 8))
    return LabelledBatch(volumes(truth, "voxels", step), (shift,) * 4, truth, tuple(f"s{step}_{i}" for i in range(4)))


@dataclass
class Memory:
    """Checkpoints and rows, kept; a stop may be asked for after a step."""

    stop_after: int | None = None
    states: dict[int, tuple[dict[str, Tensor], dict[str, Any]]] = field(default_factory=dict)
    rows: list[Mapping[str, float]] = field(default_factory=list)

    def save(self, step: int, model: nn.Module, state: dict[str, Any], **_: Any) -> None:
        self.states[step] = copy.deepcopy((dict(model.state_dict()), state))

    def write(self, row: Mapping[str, float]) -> None:
        self.rows.append({key: value for key, value in row.items() if key != "studies_per_second"})

    def rewind(self, step: int) -> None:
        self.rows = [row for row in self.rows if row["step"] <= step]

    def close(self) -> None: ...

    def should_stop(self) -> bool:
        return self.stop_after is not None and self.rows[-1]["step"] >= self.stop_after


def make_task(*, frozen: bool = False, **changes: Any) -> FitTask:
    torch.manual_seed(0)
    classifier = Classifier(VisionEncoder(RECIPE, REFERENCE), 1, frozen=frozen)
    truth = torch.tensor([[True], [False], [True], [False]])
    settings = {"layer_decay": 0.75, "patience": 10, "learned": torch.tensor([True]), "exclusive": False}
    return FitTask(classifier, TRAIN, selection_truth=truth, **(settings | changes))


def run(task: FitTask, memory: Memory, progress: FitProgress | None = None, moments: Any = None) -> FitProgress:
    seen = volumes(task.selection_truth, "selection")[:, None, :8]

    def batches(first: int) -> Iterator[LabelledBatch]:
        return (batch_of(step) for step in range(first, 1000))

    @torch.no_grad()
    def selection() -> Tensor:
        return task.classifier(seen)

    outside = FitOutside(batches, selection, memory, memory, lambda: 0.0, memory.should_stop)
    return fit_classifier(task, outside, progress or FitProgress(), moments)


def test_it_learns_what_is_to_be_seen() -> None:
    task = replace(make_task(), recipe=replace(TRAIN, steps=30, lr=1e-2))
    memory = Memory()
    progress = run(task, memory)
    assert progress.best is not None
    assert progress.best.auroc == 1.0
    assert memory.rows[-1]["loss"] < 0.5 * memory.rows[0]["loss"]


def test_a_frozen_encoder_stays_and_its_head_learns() -> None:
    task = replace(make_task(frozen=True), recipe=replace(TRAIN, steps=30, lr=0.1))
    before = copy.deepcopy(task.classifier.encoder.state_dict())
    progress = run(task, Memory())
    assert all(torch.equal(before[name], value) for name, value in task.classifier.encoder.state_dict().items())
    assert progress.weights is not None
    assert set(progress.weights) == {"head.weight", "head.bias"}
    assert progress.best is not None
    assert progress.best.loss < 0.4


@pytest.mark.parametrize("stop_after", [2, 3, 7])
@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_interrupted_fit_goes_on_bit_for_bit(
    stop_after: int, killed: bool, optimizer: Literal["adamw", "muon"]
) -> None:
    def begin() -> FitTask:
        return replace(make_task(), recipe=replace(TRAIN, optimizer=optimizer))

    undisturbed, first = Memory(), Memory(stop_after)
    expected = run(begin(), undisturbed)
    task = begin()
    stopped = run(task, first)
    assert (stopped.step, stopped.is_over(task)) == (stop_after, False)
    # A kill loses what came after the last regular checkpoint, and leaves rows behind.
    at = stop_after if not killed else max(step for step in first.states if step % 2 == 0)
    weights, state = first.states[at]
    resumed = begin()
    resumed.classifier.load_state_dict(weights)
    first.stop_after = None
    progress = run(resumed, first, FitProgress.of(at, state), state["optimizer"])
    assert first.rows == undisturbed.rows
    assert (progress.best, progress.best_step) == (expected.best, expected.best_step)
    last, undisturbed_last = first.states[12][0], undisturbed.states[12][0]
    assert all(torch.equal(last[name], value) for name, value in undisturbed_last.items())
    assert progress.weights is not None
    assert all(torch.equal(progress.weights[name], value) for name, value in (expected.weights or {}).items())


def run_with(task: FitTask, answers: Sequence[Tensor], memory: Memory) -> FitProgress:
    """A fit whose selection studies are told as given, score after score."""
    told = iter(answers)

    def batches(first: int) -> Iterator[LabelledBatch]:
        return (batch_of(step) for step in range(first, 1000))

    outside = FitOutside(batches, lambda: next(told), memory, memory, lambda: 0.0, lambda: False)
    return fit_classifier(task, outside, FitProgress(), None)


def test_training_ends_when_patience_does_and_the_best_weights_are_put_back() -> None:
    task, memory = make_task(patience=2), Memory()
    right, wrong = task.selection_truth.double() - 0.5, 0.5 - task.selection_truth.double()
    progress = run_with(task, [right, wrong, wrong, 9 * right], memory)
    assert (progress.step, progress.best_step, progress.num_worse) == (9, 3, 2)
    assert 9 in memory.states, "the last state is saved"
    now = trained_weights(task.classifier)
    assert progress.weights is not None
    assert all(torch.equal(now[name], value) for name, value in progress.weights.items())
    assert not torch.equal(now["head.weight"], memory.states[9][0]["head.weight"])
    finished = run(task, Memory(), progress)
    assert finished.step == 9, "a fit that is over takes no more steps"


def test_a_better_score_restores_patience() -> None:
    task = make_task(patience=2)
    right, wrong = task.selection_truth.double() - 0.5, 0.5 - task.selection_truth.double()
    progress = run_with(task, [right, wrong, 9 * right, wrong], Memory())
    assert (progress.step, progress.best_step, progress.num_worse) == (12, 9, 1)


def test_layers_below_the_head_are_slower() -> None:
    slow, level = make_task(layer_decay=1e-6), make_task(layer_decay=1.0)
    before = trained_weights(slow.classifier)
    moved: list[dict[str, float]] = []
    for task in (slow, level):
        run(task, Memory())
        now = trained_weights(task.classifier)
        moved.append({name: (now[name] - value).abs().max().item() for name, value in before.items()})
    assert moved[0]["head.weight"] > 1e-3
    assert moved[0]["encoder.blocks.0.mlp.fc1.weight"] < 1e-6
    assert moved[1]["encoder.blocks.0.mlp.fc1.weight"] > 1e-3


def test_the_rate_of_each_step_is_that_of_pre_training_times_the_layer() -> None:
    memory = Memory()
    run(make_task(), memory)
    rates = [row["lr"] for row in memory.rows]
    assert rates[:2] == [TRAIN.lr / 2, TRAIN.lr]
    assert rates[-1] == 0.0


def test_a_loss_that_is_not_finite_stops_before_the_update() -> None:
    task = make_task()
    with torch.no_grad():
        task.classifier.head.bias.fill_(torch.nan)
    before = task.classifier.head.weight.clone()
    with pytest.raises(NonFiniteError, match=r"step 1: loss nan.*studies of the batch: s1_0, s1_1, .*lower the"):
        run(task, Memory())
    assert torch.equal(task.classifier.head.weight, before)
