"""Muon in batches: torch's own is the reference, in its rounding, its state and its continuation."""

import copy

import pytest
import torch
from torch import nn
from torch.optim import Muon

from simcrop.core.training.muon import BatchedMuon, multiplies_bfloat16_fast, orthogonalized

SHAPES = [(12, 5), (5, 12), (12, 5), (7, 7), (1, 6)]
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
BFLOAT16_STEPS = 2e-2
"""Five iterations in bfloat16 are this far from float32, as a share of the largest singular value."""


def parameters(seed: int = 0) -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=draw)) for shape in SHAPES]


def torchs(given: list[nn.Parameter], *, decay: float = 0.1) -> Muon:
    return Muon([{"params": given, "weight_decay": decay}], lr=0.02, adjust_lr_fn="match_rms_adamw")


def ours(given: list[nn.Parameter], *, decay: float = 0.1) -> BatchedMuon:
    return BatchedMuon([{"params": given, "weight_decay": decay}], lr=0.02)


def step(optimizer: Muon, given: list[nn.Parameter], seed: int) -> None:
    for parameter, gradient in zip(given, parameters(seed), strict=True):
        parameter.grad = gradient.detach()
    optimizer.step()


def test_steps_are_those_of_torch() -> None:
    one, other = parameters(), parameters()
    first, second = ours(one), torchs(other)
    for seed in (1, 2, 3):
        step(first, one, seed)
        step(second, other, seed)
    for mine, theirs in zip(one, other, strict=True):
        largest_step = 3 * 0.02 * 0.2 * max(mine.shape) ** 0.5
        torch.testing.assert_close(mine, theirs, atol=BFLOAT16_STEPS * largest_step, rtol=0)
        torch.testing.assert_close(
            first.state[mine]["momentum_buffer"], second.state[theirs]["momentum_buffer"], atol=1e-6, rtol=0
        )


def test_a_run_that_torch_began_continues() -> None:
    began, went_on = parameters(), parameters()
    before, whole = torchs(began), ours(went_on)
    step(before, began, 1)
    step(whole, went_on, 1)
    continued = copy.deepcopy(began)
    after = ours(continued)
    after.load_state_dict(before.state_dict())
    step(after, continued, 2)
    step(whole, went_on, 2)
    for one, other in zip(continued, went_on, strict=True):
        torch.testing.assert_close(one, other, atol=1e-2 * 0.02 * max(one.shape) ** 0.5, rtol=0)
    assert before.state_dict()["param_groups"] == after.state_dict()["param_groups"]


def test_a_parameter_without_a_gradient_stays_as_it_is() -> None:
    given = parameters()
    before = [parameter.detach().clone() for parameter in given]
    optimizer = ours(given)
    given[2].grad = torch.ones_like(given[2])
    assert optimizer.step(lambda: 4.5) == 4.5
    assert [bool((one == other).all()) for one, other in zip(given, before, strict=True)] == [
        number != 2 for number in range(len(SHAPES))
    ]
    assert list(optimizer.state) == [given[2]]


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_come_near_1(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalized(matrices, COEFFICIENTS, steps=5, eps=1e-7)
    assert result.dtype == torch.float32
    values = torch.linalg.svdvals(result)
    assert float(values.min()) > 0.3
    assert float(values.max()) < 1.3
    # The singular vectors stay: U^T result V is diagonal.
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    turned = u.mT @ result @ v.mT
    torch.testing.assert_close(turned, torch.diag_embed(turned.diagonal(dim1=1, dim2=2)), atol=1e-4, rtol=0)


def test_a_matrix_is_not_changed_by_those_beside_it() -> None:
    matrices = (
        torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1e4])[:, None, None]
    )
    together = orthogonalized(matrices, COEFFICIENTS, steps=5, eps=1e-7)
    alone = torch.cat([orthogonalized(each[None], COEFFICIENTS, steps=5, eps=1e-7) for each in matrices])
    torch.testing.assert_close(together, alone)


def test_zeros_stay_zeros() -> None:
    assert not orthogonalized(torch.zeros(1, 3, 4), COEFFICIENTS, steps=5, eps=1e-7).any()


def test_a_processor_gets_float32() -> None:
    assert not multiplies_bfloat16_fast(torch.device("cpu"))
