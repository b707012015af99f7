"""Frozen layers compute what others do, and cast their weights once."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from simcrop.core.model.frozen import FrozenLinear, freeze


@pytest.fixture
def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Sequential(nn.GELU(), nn.Linear(7, 3, bias=False)))


class Casts(TorchDispatchMode):
    """Counts tensors that are cast."""

    number = 0

    def __torch_dispatch__(self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.number += isinstance(result, Tensor) and result.dtype != args[0].dtype
        return result


def autocast() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16)


def test_frozen_layers_compute_the_same_bits(layers: nn.Sequential) -> None:
    x = torch.randn(4, 5)
    frozen = copy.deepcopy(layers)
    freeze(frozen)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert torch.equal(frozen(x), layers(x))
    with autocast():
        assert torch.equal(frozen(x), layers(x))
        assert frozen(x).dtype == torch.bfloat16


def test_frozen_weights_are_cast_once(layers: nn.Sequential) -> None:
    freeze(layers)
    x = torch.randn(4, 5)
    counts: list[int] = []
    with autocast():
        for _ in range(3):
            with Casts() as casts:
                layers(x)
            counts.append(casts.number)
    assert counts[0] - counts[1] == 3  # two weights and a bias
    assert counts[1] == counts[2]


def test_names_and_gradients_of_inputs_stay(layers: nn.Sequential) -> None:
    names, first = list(layers.state_dict()), layers[0].weight
    freeze(layers)
    assert list(layers.state_dict()) == names
    assert layers[0].weight is first
    x = torch.randn(4, 5, requires_grad=True)
    with autocast():
        layers(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_other_weights_are_cast_anew(layers: nn.Sequential) -> None:
    other = copy.deepcopy(layers)
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(4, 5)
    freeze(layers)
    with autocast():
        before = layers(x)
        layers.load_state_dict(other.state_dict())
        assert torch.equal(layers(x), other(x))
        assert not torch.equal(layers(x), before)


def test_a_layer_in_eval_mode_stays_there() -> None:
    assert not FrozenLinear.of(nn.Linear(2, 2).eval()).training
