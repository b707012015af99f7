"""Contrast over all micro-batches of a step: the losses and gradients of one large batch, kept for a small one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from weakref import finalize

import pytest
import torch
from support.tiny import LOCAL, MODEL, OBJECTIVES, make_batch, make_model
from torch import Tensor

from simcrop.core.data.batch import PreparedBatch
from simcrop.core.ports import SingleProcess
from simcrop.core.recipe import AlignmentRecipe, LateInteractionRecipe, ModelRecipe, ObjectivesRecipe, TrainRecipe
from simcrop.core.training.learner import PreTraining
from simcrop.core.training.optimization import make_optimizers

ALONE = SingleProcess()
STEP = TrainRecipe(contrast="step")
COUNTS = [3, 0, 1, 5, 2, 2]
"""Sentences of every study: some reports are longer than others, and one has none."""
PARTS = {1: [6], 2: [3, 3], 3: [2, 2, 2], 4: [1, 1, 2, 2]}
"""Studies of every micro-batch."""


def alignment(negatives: str, **options: bool) -> ObjectivesRecipe:
    return replace(OBJECTIVES, alignment=AlignmentRecipe(top_k=2, negatives=negatives, **options))  # type: ignore[arg-type]


CASES: dict[str, tuple[ObjectivesRecipe, ModelRecipe]] = {
    "report": (alignment("report"), MODEL),
    "batch": (alignment("batch"), MODEL),
    "global": (alignment("global"), MODEL),
    "padding": (alignment("batch", padding_negatives=True, mask_duplicates=False), MODEL),
    "padding of a report": (alignment("report", padding_negatives=True), MODEL),
    "local": (replace(alignment("batch"), late_interaction=LateInteractionRecipe()), LOCAL),
}


def learner_of(case: str, recipe: TrainRecipe = STEP, *, dropout: float = 0.0) -> PreTraining:
    objectives, sizes = CASES[case]
    model = make_model(objectives, model=sizes, dropout=dropout).double()
    if model.local is not None:
        for layer in (model.local.values, model.local.sorted_values):  # which are given fp32, whatever the weights are
            layer.register_forward_pre_hook(lambda _, values: (values[0].double(),))
    return PreTraining(model, model, make_optimizers(model, recipe), recipe, 0, torch.device("cpu"))


def batches_of(sizes: Sequence[int], counts: Sequence[int] = COUNTS) -> list[PreparedBatch]:
    """The studies in micro-batches; what a study is depends on its place among all."""
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [make_batch(counts[start:][:size], room=start) for start, size in zip(starts, sizes, strict=True)]


def learn(learner: PreTraining, batches: Sequence[PreparedBatch]) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Losses of a step, and the gradients that it leaves."""
    totals, losses = learner.counts(batches, ALONE), dict[str, float]()
    for terms in learner.losses(batches, step=1, totals=totals, communicator=ALONE):
        terms["loss"].backward()
        losses = {name: losses.get(name, 0.0) + value.item() for name, value in terms.items()}
    parameters = learner.model.named_parameters()
    return losses, {name: each.grad for name, each in parameters if each.grad is not None}


@pytest.mark.parametrize("num_parts", [1, 2, 3, 4])
@pytest.mark.parametrize("case", CASES)
def test_micro_batches_have_the_losses_and_gradients_of_one_large_batch(case: str, num_parts: int) -> None:
    losses, gradients = learn(learner_of(case), batches_of(PARTS[num_parts]))
    wanted_losses, wanted = learn(learner_of(case, TrainRecipe()), batches_of([6]))
    assert losses == pytest.approx(wanted_losses, rel=1e-9)
    assert gradients.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert gradient.abs().max() > 0, name
        assert (gradients[name] - gradient).norm() <= 1e-9 * gradient.norm() + 1e-15, name


@pytest.mark.parametrize("case", ["batch", "local"])
def test_micro_batches_by_themselves_have_others(case: str) -> None:
    batches = batches_of(PARTS[3])
    losses, gradients = learn(learner_of(case), batches)
    alone, others = learn(learner_of(case, TrainRecipe()), batches)
    for name in ("loss_alignment", "loss_late_interaction"):
        assert losses[name] > 1.1 * alone[name]  # there is more to be taken for another
    for name in ("loss_reconstruction", "loss_report"):
        assert losses[name] == pytest.approx(alone[name], rel=1e-9)
    name = "text_head.out.weight"
    assert (gradients[name] - others[name]).norm() > 0.01 * others[name].norm()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_micro_batch_is_read_again_as_it_was_compared(precision: str) -> None:
    recipe = replace(STEP, precision=precision)  # type: ignore[arg-type]
    model = make_model(CASES["local"][0], model=LOCAL, dropout=0.5)
    learner = PreTraining(model, model, make_optimizers(model, recipe), recipe, 0, torch.device("cpu"))
    model.text_encoder.register_forward_hook(lambda _, __, words: torch.dropout(words, 0.5, train=True))
    read: dict[str, list[Tensor]] = {}
    for name in ("image_head", "text_head", "local.head", "local_text_head", "scan_head"):
        seen = read.setdefault(name, [])
        model.get_submodule(name).register_forward_hook(lambda _, __, features, seen=seen: seen.append(features))
    learn(learner, batches_of(PARTS[3]))
    for name, seen in read.items():
        assert len(seen) == 6, name
        assert all(torch.equal(compared, learned) for compared, learned in zip(seen[:3], seen[3:], strict=True)), name


@contextmanager
def most_kept() -> Iterator[list[int]]:
    """The most bytes that autograd keeps at a time for backward passes."""
    kept, most = 0, [0]

    class Kept:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor.detach()  # else an output that is kept would keep its own graph

    def less(size: int) -> None:
        nonlocal kept
        kept -= size

    def pack(tensor: Tensor) -> Kept:
        nonlocal kept
        packed, size = Kept(tensor), tensor.nbytes
        kept += size
        most[0] = max(most[0], kept)
        finalize(packed, less, size)
        return packed

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda packed: packed.tensor):
        yield most


@pytest.mark.parametrize("case", ["batch", "local"])
def test_what_is_kept_for_backward_passes_does_not_grow_with_micro_batches(case: str) -> None:
    def kept(recipe: TrainRecipe, num_parts: int) -> int:
        learner, batches = learner_of(case, recipe), batches_of([2] * num_parts, [3, 2] * num_parts)
        with most_kept() as most:
            learn(learner, batches)
        return most[0]

    assert kept(STEP, 8) == kept(STEP, 2) <= kept(TrainRecipe(), 1)
