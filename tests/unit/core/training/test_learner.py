"""The loss of pre-training: dropout by position, held-out losses, the order of attention."""

import pytest
import torch
from support.tiny import make_batch, make_model
from torch import Tensor

from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ports import SingleProcess
from simcrop.core.recipe import (
    AlignmentRecipe,
    LateInteractionRecipe,
    ObjectivesRecipe,
    TrainRecipe,
)
from simcrop.core.training.learner import PreTraining, attention_order, held_out_losses
from simcrop.core.training.loop import train_step
from simcrop.core.training.optimization import make_optimizers

ALONE = SingleProcess()


RECIPE = TrainRecipe(
    steps=6, warmup_steps=2, batch_size=2, lr=0.01, checkpoint_every=2, evaluate_every=3, picture_every=4
)


WITHOUT_NEGATIVES = ObjectivesRecipe(
    alignment=AlignmentRecipe(weight=0.0), late_interaction=LateInteractionRecipe(weight=0.0)
)


def make_learner(model: SimCroP | None = None, recipe: TrainRecipe = RECIPE, seed: int = 0) -> PreTraining:
    model = model or make_model()
    return PreTraining(model, model, make_optimizers(model, recipe), recipe, seed, torch.device("cpu"))


def test_dropout_depends_on_seed_step_and_micro_batch_and_on_nothing_else() -> None:
    def loss(step: int, seed: int, micro: int = 0) -> float:
        torch.rand(step + seed)  # whatever was drawn before must not matter
        learner = make_learner(make_model(WITHOUT_NEGATIVES, dropout=0.5), seed=seed)
        batches = [make_batch([4], key=key) for key in ("filler", "same")]
        batches = batches if micro else batches[::-1]
        with torch.no_grad():
            learner.model.text_encoder.dense.bias.zero_()
        return train_step(learner, batches, step=step, communicator=ALONE)["loss"]

    assert loss(1, 0) == loss(1, 0)
    assert len({loss(1, 0), loss(2, 0), loss(1, 1), loss(1, 0, micro=1)}) == 4


def test_held_out_losses_do_not_depend_on_dropout_or_on_how_batches_are_shared_out() -> None:
    class Summed(SingleProcess):
        """Rank 0 of two; adds what the other rank would send."""

        def __init__(self, other: list[Tensor]) -> None:
            self.other = other

        def sum(self, value: Tensor) -> Tensor:
            return value + self.other.pop() if self.other else value

    class Kept(SingleProcess):
        def __init__(self) -> None:
            self.sent: list[Tensor] = []

        def sum(self, value: Tensor) -> Tensor:
            self.sent.append(value.clone())
            return value

    learner = make_learner(make_model(dropout=0.5))
    batches = [make_batch(counts, key=counts).augmented() for counts in ([1, 2], [3], [0])]
    whole = held_out_losses(learner, batches, ALONE)
    other = Kept()
    held_out_losses(learner, batches[1::2], other)
    assert held_out_losses(learner, batches[::2], Summed(other.sent)) == whole
    assert learner.model.training
    single = [held_out_losses(learner, [batch], ALONE)["validation_loss_report"] for batch in batches[:2]]
    # 3 and 3 sentences, so equally many masked words; the study without a sentence has none.
    assert whole["validation_loss_report"] == pytest.approx(sum(single) / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("attention", "first"),
    [("auto", None), ("torch", None), ("cudnn", "CUDNN"), ("flash", "FLASH"), ("efficient", "EFFICIENT")],
)
def test_the_attention_that_a_gpu_tries_first(attention: str, first: str | None) -> None:
    order = attention_order(torch.device("cuda"), TrainRecipe(attention=attention))
    assert (order[0].name.split("_")[0] if order else None) == first
    assert len(set(order)) == len(order)
    assert not order or order[-1].name == "MATH"
    assert attention_order(torch.device("cpu"), TrainRecipe(attention=attention)) == []
