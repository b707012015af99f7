"""Training a classifier: it learns, stops early at the right weights, and continues as if never interrupted."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from simcrop.core.data.augment import Augmentation
from simcrop.core.errors import NonFiniteError
from simcrop.core.evaluation.classifier import Classifier, probabilities
from simcrop.core.evaluation.fitting import ClassifierFit, LabelledBatch, classifier_optimizers
from simcrop.core.evaluation.selection import selection_score
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.ports import SingleProcess
from simcrop.core.randomness import generator
from simcrop.core.recipe import ModelRecipe, Optimisation, TrainRecipe
from simcrop.core.reference import REFERENCE
from simcrop.core.training.loop import Ports, fit
from simcrop.core.training.optimization import load_optimizer_state
from simcrop.core.training.progress import Progress, trained_weights

RECIPE = ModelRecipe(volume_size=(8, 8, 8), patch_size=(4, 4, 4), embed_dim=12, depth=1, num_heads=2)
TRAIN = Optimisation(
    steps=12,
    batch_size=4,
    lr=3e-3,
    warmup_steps=2,
    betas=(0.9, 0.95),
    evaluate_every=3,
    patience=10,
    checkpoint_every=2,
)
TRUTH = torch.tensor([[True], [False], [True], [False]])


def volumes(truth: Tensor, *names: object) -> Tensor:
    """Air, and tissue in one half where the finding is there."""
    voxels = torch.randint(-1000, -900, (len(truth), 9, 8, 8), dtype=torch.int16, generator=generator(*names))
    voxels[truth[:, 0], 4:] = 200
    return voxels


def batch_of(step: int) -> LabelledBatch:
    truth = torch.rand(4, 1, generator=generator("truth", step)) < 0.5
    shift = Augmentation((step % 2, 0, 0), (8, 8, 8), (8, 8, 8))
    boxes = volumes(truth, "voxels", step)[:, step % 2 : step % 2 + 8]
    return LabelledBatch(boxes, (shift,) * 4, truth, tuple(f"s{step}_{i}" for i in range(4)))


@dataclass
class Memory:
    """Checkpoints and rows, kept; a stop may be asked for after a step."""

    stop_after: int | None = None
    states: dict[int, tuple[dict[str, Tensor], dict[str, Any]]] = field(default_factory=dict)
    rows: list[Mapping[str, float]] = field(default_factory=list)

    def save(self, step: int, model: nn.Module, state: dict[str, Any], **_: Any) -> None:
        self.states[step] = copy.deepcopy((dict(model.state_dict()), state))

    def check(self) -> None: ...

    def finish(self) -> None: ...

    def write(self, row: Mapping[str, float]) -> None:
        self.rows.append({key: value for key, value in row.items() if key != "studies_per_second"})

    def rewind(self, step: int) -> None:
        self.rows = [row for row in self.rows if row["step"] <= step]

    def close(self) -> None: ...

    def should_stop(self) -> bool:
        return self.stop_after is not None and self.rows[-1]["step"] >= self.stop_after


def make_learner(*, frozen: bool = False, layer_decay: float = 0.75, **changes: Any) -> ClassifierFit:
    torch.manual_seed(0)
    classifier = Classifier(VisionEncoder(RECIPE, REFERENCE), 1, frozen=frozen)
    settings = replace(TRAIN, **changes)
    optimizers = classifier_optimizers(classifier, settings, layer_decay=layer_decay)
    return ClassifierFit(classifier, optimizers, settings, TrainRecipe(), exclusive=False)


def batches(first: int) -> Iterator[list[LabelledBatch]]:
    return ([batch_of(step)] for step in range(first, 1000))


def run(
    learner: ClassifierFit, memory: Memory, progress: Progress | None = None, told: Iterator[Tensor] | None = None
) -> Progress:
    """A fit; `told` gives the logits of the selection studies, score after score, instead of the classifier."""
    seen = volumes(TRUTH, "selection")[:, None, :8]

    @torch.no_grad()
    def score() -> dict[str, float]:
        logits = learner.model(seen) if told is None else next(told)
        said = probabilities(logits, exclusive=False)
        return selection_score(said, TRUTH, learned=torch.tensor([True]), exclusive=False)

    ports = Ports(batches, score, SingleProcess(), memory, memory, memory.should_stop)
    return fit(learner, ports, progress or Progress())


def test_it_learns_what_is_to_be_seen() -> None:
    memory = Memory()
    progress = run(make_learner(steps=30, lr=1e-2), memory)
    assert progress.best is not None
    assert progress.best["selection_auroc"] == 1.0
    assert memory.rows[-1]["loss"] < 0.5 * memory.rows[0]["loss"]


def test_a_frozen_encoder_stays_and_its_head_learns() -> None:
    learner = make_learner(frozen=True, steps=30, lr=0.1)
    before = copy.deepcopy(learner.model.encoder.state_dict())
    progress = run(learner, Memory())
    assert all(torch.equal(before[name], value) for name, value in learner.model.encoder.state_dict().items())
    assert set(progress.weights) == {"head.weight", "head.bias"}
    assert progress.best is not None
    assert progress.best["selection_loss"] < 0.4


@pytest.mark.parametrize("stop_after", [2, 3, 7])
@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_interrupted_fit_goes_on_bit_for_bit(
    stop_after: int, killed: bool, optimizer: Literal["adamw", "muon"]
) -> None:
    undisturbed, first = Memory(), Memory(stop_after)
    expected = run(make_learner(optimizer=optimizer), undisturbed)
    learner = make_learner(optimizer=optimizer)
    stopped = run(learner, first)
    assert (stopped.step, stopped.is_finished(learner.settings)) == (stop_after, False)
    # A kill loses what came after the last regular checkpoint, and leaves rows behind.
    at = stop_after if not killed else max(step for step in first.states if step % 2 == 0)
    weights, state = first.states[at]
    resumed = make_learner(optimizer=optimizer)
    resumed.model.load_state_dict(weights)
    load_optimizer_state(resumed.optimizers, state["optimizer"])
    first.stop_after = None
    progress = run(resumed, first, Progress.of(at, state))
    assert first.rows == undisturbed.rows
    assert (progress.best, progress.best_step) == (expected.best, expected.best_step)
    last, undisturbed_last = first.states[12][0], undisturbed.states[12][0]
    assert all(torch.equal(last[name], value) for name, value in undisturbed_last.items())
    assert expected.weights
    assert all(torch.equal(progress.weights[name], value) for name, value in expected.weights.items())


def test_training_ends_when_patience_does_and_the_best_weights_are_put_back() -> None:
    learner, memory = make_learner(patience=2), Memory()
    right, wrong = TRUTH.double() - 0.5, 0.5 - TRUTH.double()
    progress = run(learner, memory, told=iter([right, wrong, wrong, 9 * right]))
    assert (progress.step, progress.best_step, progress.num_worse) == (9, 3, 2)
    assert 9 in memory.states, "the last state is saved"
    now = trained_weights(learner.model)
    assert all(torch.equal(now[name], value) for name, value in progress.weights.items())
    assert not torch.equal(now["head.weight"], memory.states[9][0]["head.weight"])
    finished = run(learner, Memory(), progress)
    assert finished.step == 9, "a fit that is over takes no more steps"


def test_a_better_score_restores_patience() -> None:
    right, wrong = TRUTH.double() - 0.5, 0.5 - TRUTH.double()
    progress = run(make_learner(patience=2), Memory(), told=iter([right, wrong, 9 * right, wrong]))
    assert (progress.step, progress.best_step, progress.num_worse) == (12, 9, 1)


def test_layers_below_the_head_are_slower() -> None:
    slow, level = make_learner(layer_decay=1e-6), make_learner(layer_decay=1.0)
    before = trained_weights(slow.model)
    moved: list[dict[str, float]] = []
    for learner in (slow, level):
        run(learner, Memory())
        now = trained_weights(learner.model)
        moved.append({name: (now[name] - value).abs().max().item() for name, value in before.items()})
    assert moved[0]["head.weight"] > 1e-3
    assert moved[0]["encoder.blocks.0.mlp.fc1.weight"] < 1e-6
    assert moved[1]["encoder.blocks.0.mlp.fc1.weight"] > 1e-3


def test_the_rate_of_each_step_is_that_of_pre_training_times_the_layer() -> None:
    memory = Memory()
    run(make_learner(), memory)
    rates = [row["lr"] for row in memory.rows]
    assert rates[:2] == [TRAIN.lr / 2, TRAIN.lr]
    assert rates[-1] == 0.0


def test_a_loss_that_is_not_finite_stops_before_the_update() -> None:
    learner = make_learner()
    with torch.no_grad():
        learner.model.head.bias.fill_(torch.nan)
    before = learner.model.head.weight.clone()
    with pytest.raises(NonFiniteError, match=r"step 1: loss = nan.*batch: s1_0, s1_1, .*lower the"):
        run(learner, Memory())
    assert torch.equal(learner.model.head.weight, before)
