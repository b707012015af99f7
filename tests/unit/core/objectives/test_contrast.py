"""Terms that know all micro-batches of a step; core/training/test_learner_contrast.py has them in whole steps."""

from dataclasses import replace

import pytest
import torch
from support.small_models import OBJECTIVES, TRAINED, make_batch, make_model, only, to_double

from simcrop.core.data.batch import Batch
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.objectives.contrast import Contrast, compared, comparisons, contrasts, with_room
from simcrop.core.objectives.losses import Counts
from simcrop.core.ports import SingleProcess
from simcrop.core.recipe import AlignmentRecipe, ObjectivesRecipe

BATCH_NEGATIVES = replace(OBJECTIVES, alignment=AlignmentRecipe(top_k=3, negatives="batch"))
ALONE = SingleProcess()


@pytest.mark.parametrize(
    ("objectives", "names"),
    [
        (OBJECTIVES, {"late_interaction"}),
        (BATCH_NEGATIVES, {"alignment", "late_interaction"}),
        (replace(OBJECTIVES, alignment=AlignmentRecipe(negatives="global")), {"alignment", "late_interaction"}),
        (only("alignment", BATCH_NEGATIVES), {"alignment"}),
        (only("alignment"), set()),
        (only("report"), set()),
    ],
)
def test_the_objectives_that_compare_studies(objectives: ObjectivesRecipe, names: set[str]) -> None:
    assert comparisons(objectives).keys() == names


def halves() -> tuple[SimCroP, list[Batch], Counts]:
    model = make_model(BATCH_NEGATIVES, text=TRAINED, double=True).eval()
    batches = [to_double(make_batch([2], room=3)), to_double(make_batch([3, 0], first=1))]
    return model, batches, Counts.of(batches, BATCH_NEGATIVES)


def test_parts_add_up_to_the_whole() -> None:
    model, batches, counts = halves()
    passes = [model.begin(batch, counts, ALONE) for batch in batches]
    rows = contrasts([compared(step) for step in passes], passes[0], counts)
    shares = [model.terms(step, counts, row) for step, row in zip(passes, rows, strict=True)]
    whole = model(to_double(make_batch([2, 3, 0])), counts, ALONE)
    for name, expected in whole.items():
        torch.testing.assert_close(shares[0][name] + shares[1][name], expected)


def test_a_term_hands_on_its_gradients_times_its_own() -> None:
    tensors = [torch.zeros(2, requires_grad=True), torch.zeros(1), torch.zeros(3, dtype=torch.bool)]
    gradients = [torch.tensor([1.0, 2.0]), torch.tensor([5.0]), None]
    term = Contrast(torch.tensor(7.0), gradients).term([2 * tensors[0], *tensors[1:]])
    assert term.item() == 7.0
    (0.5 * term).backward()
    assert tensors[0].grad is not None
    assert tensors[0].grad.tolist() == [1.0, 2.0]
    assert tensors[1].grad is None


def test_bf16_gradients_stay_bf16() -> None:
    feature = torch.ones(2, requires_grad=True)
    term = Contrast(torch.tensor(1.0), [torch.full((2,), 3.0, dtype=torch.bfloat16)]).term([feature.bfloat16()])
    (2.0 * term).backward()
    assert feature.grad is not None
    assert feature.grad.tolist() == [6.0, 6.0]


def test_what_is_compared_keeps_no_activations() -> None:
    model, batches, counts = halves()
    found = compared(model.begin(batches[0], counts, ALONE))
    tensors: list[torch.Tensor] = []
    for group in found.values():
        group.mapped(lambda tensor: tensors.append(tensor) or tensor)
    assert tensors
    assert not any(tensor.requires_grad for tensor in tensors)


def test_room_for_more_sentences_changes_no_term() -> None:
    model, _, _ = halves()
    batch = to_double(make_batch([2, 1]))
    counts = Counts.of([batch], BATCH_NEGATIVES)
    wider = with_room(batch, 5)
    assert wider.inputs.sentence_mask.shape == (2, 5)
    assert wider.inputs.sentence_mask.sum() == 3
    torch.testing.assert_close(model(wider, counts, ALONE), model(batch, counts, ALONE))
