"""Learning rate, AdamW and Muon: which parameters each takes, which decay, and what of them a continuation needs."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from simcrop.core.ports import State
from simcrop.core.recipe import Optimisation
from simcrop.core.training.muon import BatchedMuon


def lr_at(step: int, settings: Optimisation) -> float:
    """Learning rate of update `step`, counted from 1: linear warm-up, then half a cosine.

    Returns:
        lr * step / warmup_steps during the warm-up; `lr` at its end (at step 1 without one), `min_lr` at the last step.
        With `warmup_from_zero` 0 at step 1, and from then on what the step before would have without it.

    Source: docs/method.md, section 6.
    """
    first = 0 if settings.warmup_from_zero else 1
    step, peak = step - 1 + first, max(settings.warmup, first)
    if step < peak:
        return settings.lr * step / peak
    fraction = (step - peak) / max(settings.steps - peak, 1)
    return settings.min_lr + (settings.lr - settings.min_lr) * 0.5 * (1.0 + math.cos(math.pi * fraction))


def make_optimizers(
    model: nn.Module, settings: Optimisation, lr_scale: Callable[[str], float] = lambda name: 1.0
) -> tuple[Optimizer, ...]:
    """AdamW over the trained parameters, or Muon for the weights of linear layers and AdamW for the others.

    Only matrices decay: a tensor with fewer than two axes longer than 1 (bias, norm, class or mask token) is a vector.
    With `decay_tokens` one with fewer than two axes is, which leaves the tokens to decay.
    Muon's update is scaled to the size of AdamW's, so that both go by the same learning rate.

    Args:
        model: what has a gradient in it is trained.
        settings: optimizer, rate, decay.
        lr_scale: factor of the learning rate for the parameter of a name.

    Source: docs/method.md, section 6; Muon: K. Jordan et al., 2024, its scale: arXiv 2502.16982.
    """
    linear = {f"{name}.weight" for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    alike: dict[tuple[bool, float, float], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            axes = parameter.dim() if settings.decay_tokens else sum(size > 1 for size in parameter.shape)
            decay = settings.weight_decay if axes >= 2 else 0.0
            by_muon = settings.optimizer == "muon" and name in linear
            alike.setdefault((by_muon, lr_scale(name), decay), []).append((name, parameter))
    by_adamw, by_muon = (
        [
            {"params": named, "lr_scale": scale, "weight_decay": decay}
            for (muon, scale, decay), named in alike.items()
            if muon == wanted
        ]
        for wanted in (False, True)
    )
    optimizers: list[Optimizer] = []
    if by_adamw:
        # One kernel for all: on a GPU, which waits for the CPU here, launching one for each kind of term takes longer.
        is_fused = all(parameter.is_cuda for parameter in model.parameters())
        optimizers.append(AdamW(by_adamw, lr=settings.lr, betas=settings.betas, fused=is_fused or None))
    if by_muon:
        optimizers.append(BatchedMuon(by_muon, lr=settings.lr))
    return tuple(optimizers)


def set_lr(optimizers: Sequence[Optimizer], lr: float) -> None:
    """Give every group its share of the learning rate."""
    for group in parameter_groups(optimizers):
        group["lr"] = lr * group["lr_scale"]


def parameter_groups(optimizers: Sequence[Optimizer]) -> Iterator[dict[str, Any]]:
    """The groups of all optimizers, in a fixed order."""
    return (group for optimizer in optimizers for group in optimizer.param_groups)


def optimizer_state(optimizers: Sequence[Optimizer]) -> State:
    """The optimizers' moments by parameter name; learning rate and decay follow from the settings."""
    return {
        name: dict(optimizer.state[parameter])
        for optimizer in optimizers
        for name, parameter in _named_parameters(optimizer)
        if parameter in optimizer.state
    }


def load_optimizer_state(optimizers: Sequence[Optimizer], moments: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Put moments from `optimizer_state` back.

    Args:
        optimizers: over parameters of the same names and shapes.
        moments: by parameter name; a parameter that never had a gradient is absent.
    """
    for optimizer in optimizers:
        for name, parameter in _named_parameters(optimizer):
            if name in moments:
                # Unless it is fused, AdamW keeps its step counter on the CPU, whatever the parameter's device.
                counter = parameter.device if optimizer.defaults.get("fused") else torch.device("cpu")
                optimizer.state[parameter] = {
                    key: value.to(counter if key == "step" else parameter.device, copy=True)
                    for key, value in moments[name].items()
                }


def _named_parameters(optimizer: Optimizer) -> Iterator[tuple[str, nn.Parameter]]:
    for group in optimizer.param_groups:
        yield from zip(group["param_names"], group["params"], strict=True)
