"""Learning rate, decay groups, and the optimizer's moments."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from simcrop.core.optimization import load_optimizer_state, lr_at, make_optimizer, optimizer_state
from simcrop.core.recipe import TrainRecipe


def test_learning_rate_climbs_then_follows_half_a_cosine() -> None:
    recipe = TrainRecipe(steps=12, warmup_steps=4, lr=0.8, min_lr=0.2)
    assert [lr_at(step, recipe) for step in (1, 2, 4)] == pytest.approx([0.2, 0.4, 0.8])
    assert lr_at(8, recipe) == pytest.approx(0.5)
    assert lr_at(6, recipe) == pytest.approx(0.2 + 0.6 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert lr_at(12, recipe) == pytest.approx(0.2)


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    assert lr_at(1, TrainRecipe(steps=10, warmup_steps=0, lr=0.5)) == 0.5
    assert lr_at(1, TrainRecipe(steps=1, warmup_steps=0, lr=0.5)) == 0.5


@given(st.integers(2, 200), st.data())
def test_learning_rate_stays_in_its_range_and_falls_after_the_peak(steps: int, data: st.DataObject) -> None:
    warmup = data.draw(st.integers(0, steps - 1))
    recipe = TrainRecipe(steps=steps, warmup_steps=warmup, lr=1.0, min_lr=0.1)
    rates = [lr_at(step, recipe) for step in range(max(warmup, 1), steps + 1)]
    assert rates[0] == 1.0
    assert all(0.1 - 1e-12 <= later < earlier for earlier, later in itertools.pairwise(rates))


class Parts(nn.Module):
    """One parameter of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3, 2)
        self.norm = nn.LayerNorm(2)
        self.conv = nn.Conv3d(1, 4, 2)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 5))
        self.frozen = nn.Parameter(torch.zeros(3, 3), requires_grad=False)


def test_only_matrices_decay_and_frozen_parameters_are_left_out() -> None:
    optimizer = make_optimizer(Parts(), TrainRecipe(weight_decay=0.3))
    decay = {name: group["weight_decay"] for group in optimizer.param_groups for name in group["param_names"]}
    assert decay == {
        "dense.weight": 0.3,
        "conv.weight": 0.3,
        "dense.bias": 0.0,
        "conv.bias": 0.0,
        "norm.weight": 0.0,
        "norm.bias": 0.0,
        "cls_token": 0.0,
    }


def run_steps(model: Parts, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        optimizer.zero_grad()
        loss = model.dense(torch.full((1, 3), float(step))).pow(2).sum() + model.cls_token.sum() * step
        loss.backward()
        optimizer.step()


def test_moments_put_back_continue_exactly() -> None:
    recipe = TrainRecipe()
    whole, part = Parts(), Parts()
    part.load_state_dict(whole.state_dict())
    whole_optimizer, part_optimizer = make_optimizer(whole, recipe), make_optimizer(part, recipe)
    run_steps(whole, whole_optimizer, 0, 6)
    run_steps(part, part_optimizer, 0, 3)
    resumed = Parts()
    resumed.load_state_dict(part.state_dict())
    resumed_optimizer = make_optimizer(resumed, recipe)
    moments = optimizer_state(part_optimizer)
    load_optimizer_state(resumed_optimizer, moments)
    run_steps(part, part_optimizer, 3, 4)  # must not reach into what was put back
    run_steps(resumed, resumed_optimizer, 3, 6)
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, resumed.get_parameter(name)), name


def test_a_parameter_without_gradient_has_no_moments() -> None:
    model = Parts()
    optimizer = make_optimizer(model, TrainRecipe())
    run_steps(model, optimizer, 0, 1)
    assert set(optimizer_state(optimizer)) == {"dense.weight", "dense.bias", "cls_token"}
