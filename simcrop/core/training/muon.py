# pyright: reportPrivateUsage=false
# (PyTorch documents its foreach functions under names that begin with an underscore.)
"""Muon with one batch of products for all matrices of a shape, in the dtype that the device multiplies fast.

`torch.optim.Muon` orthogonalises one matrix after the other, always in bfloat16. A processor without bfloat16 units
spends most of a small model's step on that, and a GPU waits for the launches.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Muon


class BatchedMuon(Muon):
    """`torch.optim.Muon`, with the same groups and state: a run begun with either continues with the other.

    Updates are scaled to the size of AdamW's.

    Source: K. Jordan et al., 2024; the scale: arXiv 2502.16982.
    """

    def __init__(self, params: Any, *, lr: float) -> None:
        super().__init__(params, lr=lr, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of every parameter that has a gradient; returns what `closure` does."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[tuple[torch.Size, torch.device], list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape, parameter.device].append(parameter)
            for parameters in alike.values():
                self._update(parameters, group)
        return loss

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Momentum, orthogonalisation, decay and step of matrices of one shape."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        moments = [self._moment(parameter) for parameter in parameters]
        torch._foreach_lerp_(moments, gradients, 1 - group["momentum"])
        if group["nesterov"]:
            moments = torch._foreach_lerp(gradients, moments, group["momentum"])
        directions = orthogonalized(
            torch.stack(moments), group["ns_coefficients"], steps=group["ns_steps"], eps=group["eps"]
        ).to(parameters[0].dtype)
        longest = max(parameters[0].shape)
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, directions.unbind(), alpha=-group["lr"] * 0.2 * longest**0.5)

    def _moment(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return state["momentum_buffer"]


def orthogonalized(matrices: Tensor, coefficients: tuple[float, float, float], *, steps: int, eps: float) -> Tensor:
    """Matrices with their singular values moved near 1 by Newton-Schulz iteration.

    Args:
        matrices: [n, A, B].
        coefficients: of the iterated polynomial x, x^3, x^5.
        steps: iterations.
        eps: least norm that a matrix is divided by.

    Returns:
        [n, A, B], in bfloat16 on a GPU that multiplies it fast, else in float32.
    """
    a, b, c = coefficients
    x = matrices.to(torch.bfloat16 if multiplies_bfloat16_fast(matrices.device) else torch.float32)
    is_tall = x.shape[1] > x.shape[2]
    x = x.mT if is_tall else x
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


def multiplies_bfloat16_fast(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are the fastest; processors of the same name differ in it, so none counts."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
