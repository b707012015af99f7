"""Learning rate and AdamW: which parameters decay, and what of the optimizer a continuation needs."""

import math
from collections.abc import Mapping

from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from simcrop.core.ports import State
from simcrop.core.recipe import TrainRecipe


def lr_at(step: int, recipe: TrainRecipe) -> float:
    """Learning rate of update `step`, counted from 1: linear warm-up, then half a cosine.

    Returns:
        lr * step / warmup_steps during the warm-up; `lr` at its end (at step 1 without one), `min_lr` at the last step.

    Source: docs/method.md, section 6.
    """
    peak = max(recipe.warmup_steps, 1)
    if step <= peak:
        return recipe.lr * step / peak
    fraction = (step - peak) / (recipe.steps - peak)
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * 0.5 * (1.0 + math.cos(math.pi * fraction))


def make_optimizer(model: nn.Module, recipe: TrainRecipe) -> AdamW:
    """AdamW over the trained parameters; only matrices decay.

    A tensor with fewer than two axes longer than 1 (bias, norm, class or mask token) counts as a vector.

    Source: docs/method.md, section 6.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    matrices = [(name, p) for name, p in trained if sum(size > 1 for size in p.shape) >= 2]
    names = {name for name, _ in matrices}
    vectors = [(name, p) for name, p in trained if name not in names]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]], lr=recipe.lr, betas=recipe.betas)


def optimizer_state(optimizer: Optimizer) -> State:
    """The optimizer's moments by parameter name; learning rate and decay follow from the recipe."""
    moments: State = {}
    for group in optimizer.param_groups:
        for name, parameter in zip(group["param_names"], group["params"], strict=True):
            if parameter in optimizer.state:
                moments[name] = dict(optimizer.state[parameter])
    return moments


def load_optimizer_state(optimizer: Optimizer, moments: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Put moments from `optimizer_state` back.

    Args:
        optimizer: over parameters of the same names and shapes.
        moments: by parameter name; a parameter that never had a gradient is absent.
    """
    for group in optimizer.param_groups:
        for name, parameter in zip(group["param_names"], group["params"], strict=True):
            if name in moments:
                # AdamW keeps its step counter on the CPU, whatever the parameter's device.
                optimizer.state[parameter] = {
                    key: value.clone() if key == "step" else value.to(parameter.device, copy=True)
                    for key, value in moments[name].items()
                }
