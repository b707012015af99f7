"""What is trained, and how well it does on studies that it is not trained on."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from simcrop.core.losses import Counts
from simcrop.core.model import SimCroP
from simcrop.core.ports import Communicator, SingleProcess
from simcrop.core.recipe import TrainRecipe
from simcrop.core.study import Batch

_COUNT_OF_TERM = {
    "reconstruction": "masked_patches",
    "report": "report_tokens",
    "alignment": "sentences",
    "late_interaction": "sentences",
}


@dataclass(frozen=True)
class Learner:
    """What is trained, and how.

    Attributes:
        model: the network whose weights are saved.
        network: `model`, or the wrapper that averages its gradients over ranks.
        optimizers: from `make_optimizers`.
        recipe: the `train` section.
        seed: of the run.
        device: where the model lives.
    """

    model: SimCroP
    network: nn.Module
    optimizers: tuple[Optimizer, ...]
    recipe: TrainRecipe
    seed: int
    device: torch.device


def autocast(device: torch.device, recipe: TrainRecipe) -> AbstractContextManager[object]:
    """bf16 autocast where `train.precision` asks for it; `auto` means on a GPU."""
    enabled = recipe.precision == "bf16" or (recipe.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


@torch.no_grad()
def held_out_losses(learner: Learner, batches: Iterable[Batch], communicator: Communicator) -> dict[str, float]:
    """Losses over held-out studies: `validation_loss` and `validation_loss_TERM`.

    Every batch is scored by itself (negatives are its own), then averaged by what each term counts, so the result does
    not depend on the number of ranks.

    Args:
        learner: the model is left in training mode.
        batches: this rank's share; may be empty.
        communicator: the ranks.

    Returns:
        The means; nothing at all where no rank has a held-out study.
    """
    model, alone = learner.model, SingleProcess()
    names = [name for name in _COUNT_OF_TERM if getattr(model.objectives, name).weight > 0]
    sums = torch.zeros(2, len(names), dtype=torch.float64)
    model.eval()
    for batch in batches:
        counts = Counts.of([batch], model.objectives)
        weights = torch.tensor([getattr(counts, _COUNT_OF_TERM[name]) for name in names], dtype=torch.float64)
        with autocast(learner.device, learner.recipe):
            terms = model(batch.to(learner.device), counts, alone)
        values = torch.stack([terms[name].double() for name in names]).cpu()
        sums += torch.stack([values * weights, weights])
    model.train()
    sums = communicator.sum(sums)
    if not sums[1].any():
        return {}
    means = dict(zip(names, sums[0] / sums[1].clamp(min=1.0), strict=True))
    losses = {f"validation_loss_{name}": value.item() for name, value in means.items()}
    return {"validation_loss": model.total(means).item(), **losses}
