"""What is trained, and how well it does on studies that it is not trained on."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer

from simcrop.core.data.batch import Batch
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.objectives.losses import Counts
from simcrop.core.ports import Communicator, SingleProcess
from simcrop.core.recipe import TrainRecipe

_ATTENTION = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
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


@contextmanager
def numerics(device: torch.device, recipe: TrainRecipe) -> Generator[None]:
    """bf16 autocast where `train.precision` asks for it (auto: on a GPU), and attention as `train.attention` says."""
    enabled = recipe.precision == "bf16" or (recipe.precision == "auto" and device.type == "cuda")
    order = attention_order(device, recipe)
    with (
        torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled),
        sdpa_kernel(order, set_priority=True) if order else nullcontext(),
    ):
        yield


def attention_order(device: torch.device, recipe: TrainRecipe) -> list[SDPBackend]:
    """Implementations of attention, first choice first; empty leaves torch's own order."""
    chosen = recipe.attention
    if chosen == "auto" and device.type == "cuda" and torch.cuda.get_device_capability(device)[0] == 9:
        chosen = "cudnn"
    if device.type != "cuda" or chosen in ("auto", "torch"):
        return []
    first = _ATTENTION[chosen]
    return [first, *(other for other in (*_ATTENTION.values(), SDPBackend.MATH) if other != first)]


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
    names = list(model.objectives.active)
    sums = torch.zeros(2, len(names), dtype=torch.float64)
    model.eval()
    for batch in batches:
        counts = Counts.of([batch], model.objectives)
        weights = torch.tensor([counts.terms[name] for name in names], dtype=torch.float64)
        with numerics(learner.device, learner.recipe):
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
