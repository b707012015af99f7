"""Gradients that all ways to embed share, against plain torch."""

import pytest
import torch
from support.kernel_inputs import Draw
from support.parity import DEVICE, FLOATS, poisoned

from simcrop.kernels.patch_gradients import cast_and_sum, position_gradient


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(300, 70), (1, 1), (128, 64), (0, 5)])
def test_a_gradient_is_cast_and_summed_at_once(shape: tuple[int, int], dtype: torch.dtype) -> None:
    grad = Draw().normal(*shape).to(DEVICE)
    for layout in (grad, grad.t().contiguous().t(), grad[:1].expand(shape) if shape[0] else grad):
        with poisoned():
            cast, sums = cast_and_sum(layout, dtype)
        assert torch.equal(cast, layout.to(dtype))
        assert cast.is_contiguous()
        torch.testing.assert_close(sums.double(), layout.double().sum(0), atol=1e-4, rtol=1e-5)


def test_a_repeated_patch_collects_the_gradients_of_its_tokens() -> None:
    grad = Draw().normal(4, 3).to(DEVICE)
    found = position_gradient(grad, torch.tensor([[1, 4], [1, 1]], device=DEVICE), 5)
    zero = torch.zeros(3, device=DEVICE)
    torch.testing.assert_close(found, torch.stack([zero, grad[0] + grad[2] + grad[3], zero, zero, grad[1]]))
    torch.testing.assert_close(position_gradient(grad, None, 2), grad[:2] + grad[2:])
