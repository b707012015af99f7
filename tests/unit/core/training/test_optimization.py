"""Learning rate, decay groups, and the optimizer's moments."""

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from simcrop.core.recipe import Optimisation, TrainRecipe
from simcrop.core.training.optimization import (
    load_optimizer_state,
    lr_at,
    make_optimizers,
    optimizer_state,
    parameter_groups,
    set_lr,
)


def test_learning_rate_climbs_then_follows_half_a_cosine() -> None:
    recipe = TrainRecipe(steps=12, warmup_steps=4, lr=0.8, min_lr=0.2)
    assert [lr_at(step, recipe) for step in (1, 2, 4)] == pytest.approx([0.2, 0.4, 0.8])
    assert lr_at(8, recipe) == pytest.approx(0.5)
    assert lr_at(6, recipe) == pytest.approx(0.2 + 0.6 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert lr_at(12, recipe) == pytest.approx(0.2)


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    assert lr_at(1, TrainRecipe(steps=10, warmup_steps=0, lr=0.5)) == 0.5
    assert lr_at(1, TrainRecipe(steps=1, warmup_steps=0, lr=0.5)) == 0.5


def test_from_zero_each_step_has_the_rate_of_the_one_before() -> None:
    recipe = TrainRecipe(steps=12, warmup_steps=4, lr=0.8, warmup_from_zero=True)
    usual = TrainRecipe(steps=12, warmup_steps=4, lr=0.8)
    rates = [lr_at(step, recipe) for step in range(1, 13)]
    assert rates == [0.0, *(lr_at(step, usual) for step in range(1, 12))]
    assert lr_at(1, TrainRecipe(steps=10, warmup_steps=0, lr=0.5, warmup_from_zero=True)) == 0.5
    assert lr_at(1, TrainRecipe(steps=1, warmup_steps=0, lr=0.5, warmup_from_zero=True)) == 0.5


def test_where_no_warm_up_is_given_a_tenth_of_the_steps_is_one() -> None:
    assert [lr_at(step, Optimisation(steps=40, lr=0.8)) for step in (1, 4)] == pytest.approx([0.2, 0.8])
    assert Optimisation(steps=1).warmup == 0
    assert Optimisation(steps=40, warmup_steps=0).warmup == 0


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


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_only_matrices_decay_and_frozen_parameters_are_left_out(optimizer: Literal["adamw", "muon"]) -> None:
    groups = parameter_groups(make_optimizers(Parts(), TrainRecipe(optimizer=optimizer, weight_decay=0.3)))
    decay = {name: group["weight_decay"] for group in groups for name in group["param_names"]}
    assert decay == {
        "dense.weight": 0.3,
        "conv.weight": 0.3,
        "dense.bias": 0.0,
        "conv.bias": 0.0,
        "norm.weight": 0.0,
        "norm.bias": 0.0,
        "cls_token": 0.0,
    }


def test_tokens_decay_where_the_recipe_says_so_and_biases_do_not() -> None:
    groups = parameter_groups(make_optimizers(Parts(), TrainRecipe(weight_decay=0.3, decay_tokens=True)))
    decay = {name: group["weight_decay"] for group in groups for name in group["param_names"]}
    assert decay["cls_token"] == decay["dense.weight"] == decay["conv.weight"] == 0.3
    assert decay["dense.bias"] == decay["conv.bias"] == decay["norm.weight"] == decay["norm.bias"] == 0.0


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_every_parameter_has_its_share_of_the_learning_rate(optimizer: Literal["adamw", "muon"]) -> None:
    shares = {"dense.weight": 0.5, "conv.weight": 0.25, "conv.bias": 0.25}
    optimizers = make_optimizers(Parts(), TrainRecipe(optimizer=optimizer), lambda name: shares.get(name, 1.0))
    set_lr(optimizers, 0.8)
    rates = {name: group["lr"] for group in parameter_groups(optimizers) for name in group["param_names"]}
    assert rates == {"dense.bias": 0.8, "norm.weight": 0.8, "norm.bias": 0.8, "cls_token": 0.8} | {
        name: 0.8 * share for name, share in shares.items()
    }


def test_muon_takes_the_weights_of_linear_layers_only() -> None:
    adamw, muon = make_optimizers(Parts(), TrainRecipe(optimizer="muon"))
    assert [group["param_names"] for group in muon.param_groups] == [["dense.weight"]]
    others = {name for group in adamw.param_groups for name in group["param_names"]}
    assert others == {"dense.bias", "norm.weight", "norm.bias", "conv.weight", "conv.bias", "cls_token"}


def test_muon_moves_every_direction_of_a_matrix_alike() -> None:
    layer = nn.Linear(4, 4, bias=False)
    before = layer.weight.detach().clone()
    (muon,) = make_optimizers(nn.Sequential(layer), TrainRecipe(optimizer="muon", lr=0.1, weight_decay=0.0))
    layer.weight.grad = torch.diag(torch.tensor([100.0, 10.0, 5.0, 2.0]))
    muon.step()
    moved = torch.linalg.svdvals(before - layer.weight.detach())
    # The size of AdamW's steps: 0.2 times the root of the longer side.
    assert moved / (0.1 * 0.2 * 4**0.5) == pytest.approx(torch.ones(4), abs=0.35)


def run_steps(model: Parts, optimizers: Sequence[torch.optim.Optimizer], first: int, last: int) -> None:
    for step in range(first, last):
        model.zero_grad()
        loss = model.dense(torch.full((1, 3), float(step))).pow(2).sum() + model.cls_token.sum() * step
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_moments_put_back_continue_exactly(optimizer: Literal["adamw", "muon"]) -> None:
    recipe = TrainRecipe(optimizer=optimizer)
    whole, part = Parts(), Parts()
    part.load_state_dict(whole.state_dict())
    whole_optimizers, part_optimizers = make_optimizers(whole, recipe), make_optimizers(part, recipe)
    run_steps(whole, whole_optimizers, 0, 6)
    run_steps(part, part_optimizers, 0, 3)
    resumed = Parts()
    resumed.load_state_dict(part.state_dict())
    resumed_optimizers = make_optimizers(resumed, recipe)
    moments = optimizer_state(part_optimizers)
    load_optimizer_state(resumed_optimizers, moments)
    run_steps(part, part_optimizers, 3, 4)  # must not reach into what was put back
    run_steps(resumed, resumed_optimizers, 3, 6)
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, resumed.get_parameter(name)), name


def test_a_parameter_without_gradient_has_no_moments() -> None:
    model = Parts()
    optimizers = make_optimizers(model, TrainRecipe())
    run_steps(model, optimizers, 0, 1)
    assert set(optimizer_state(optimizers)) == {"dense.weight", "dense.bias", "cls_token"}
