"""Time every implementation of attention at the shapes of a step, with its distance from float32."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from measuring import DEVICE, Ceilings, timed
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from gpu_stages import ceilings
from gpu_stages.day import Day

STAGE = "attention"
DEFAULT = "torch's own order"
BACKENDS = {
    DEFAULT: None,
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
_BACKWARD = 3.5
"""Products of forward and backward together, of those of forward."""


@dataclass(frozen=True)
class Shape:
    """An attention of a step: `queries` of `keys` tokens in B studies."""

    name: str
    B: int
    heads: int
    queries: int
    keys: int
    width: int
    is_masked: bool = False

    @property
    def flops(self) -> float:
        """Of both products, forward and backward."""
        return _BACKWARD * 4.0 * self.B * self.heads * self.queries * self.keys * self.width


SHAPES = (
    Shape("encoder, 12 heads of 64", 32, 12, 687, 687, 64),
    Shape("decoder, 16 heads of 48", 32, 16, 2745, 2745, 48),
    Shape("decoder, 12 heads of 64", 32, 12, 2745, 2745, 64),
    Shape("decoder, masked tokens ask, 16 heads of 48", 32, 16, 2058, 2745, 48),
    Shape("decoder, masked tokens ask, 12 heads of 64", 32, 12, 2058, 2745, 64),
    Shape("report, 12 heads of 64, padding masked", 32, 12, 512, 512, 64, is_masked=True),
    Shape("report, 12 heads of 64, length off 128", 32, 12, 448, 448, 64, is_masked=True),
    Shape("report, 12 heads of 64, nothing masked", 32, 12, 512, 512, 64),
    Shape("fusion, 6 heads of 128, padding masked", 32, 6, 512, 687, 128, is_masked=True),
)
TINY = (Shape("tiny", 2, 2, 5, 7, 8), Shape("tiny, padding masked", 2, 2, 5, 7, 8, is_masked=True))


def run(day: Day) -> None:
    """Every backend at every shape; flash takes no mask."""
    limits = ceilings.known(day)
    for shape in TINY if day.rehearses else SHAPES:
        for name in backends(day):
            if not (shape.is_masked and name == "flash"):
                measure = partial(_measured, day, limits, shape, name)
                day.row(STAGE, f"{shape.name} | {name}", measure, kind="attention", guess=3)


def backends(day: Day) -> Iterator[str]:
    """Those that the device has."""
    return (name for name in BACKENDS if not day.rehearses or name in (DEFAULT, "flash"))


def _measured(day: Day, limits: Ceilings | None, shape: Shape, backend: str) -> Mapping[str, Any]:
    dtype = torch.float32 if day.rehearses else torch.bfloat16
    leaves = drawn(shape, dtype)
    mask = padding(shape) if shape.is_masked else None
    upstream = torch.randn_like(leaves[0])

    def attend(inputs: list[Tensor], on: str | None, grad: Tensor) -> list[Tensor]:
        chosen = BACKENDS[on] if on else None
        with sdpa_kernel(chosen) if chosen is not None else nullcontext():
            result = F.scaled_dot_product_attention(*inputs, attn_mask=mask)
            return [result.detach(), *torch.autograd.grad(result, inputs, grad)]

    exact = attend([leaf.detach().float().requires_grad_() for leaf in leaves], None, upstream.float())
    found = attend(leaves, backend, upstream)
    errors = [float((a.float() - b).abs().max() / b.abs().max()) for a, b in zip(found, exact, strict=True)]
    assert all(error < 0.05 for error in errors), f"wrong: relative errors of result and gradients {errors}"
    timing = timed(lambda: attend(leaves, backend, upstream), rounds=2 if day.rehearses else 20)
    achieved = shape.flops / timing.median / 1e9
    return {
        "shape": shape.name,
        "backend": backend,
        "ms": timing.median,
        "low_ms": timing.low,
        "high_ms": timing.high,
        "tflops": achieved,
        "of_ceiling": achieved / limits.tflops if limits else None,
        "off_by": max(errors),
    }


def drawn(shape: Shape, dtype: torch.dtype) -> list[Tensor]:
    """Queries, keys and values, in memory as a projection leaves them."""
    draw = torch.Generator(DEVICE).manual_seed(0)
    sizes = (shape.queries, shape.keys, shape.keys)
    values = [torch.randn(shape.B, n, shape.heads, shape.width, generator=draw, device=DEVICE) for n in sizes]
    return [each.to(dtype).transpose(1, 2).detach().requires_grad_() for each in values]


def padding(shape: Shape) -> Tensor:
    """[B, 1, 1, keys]: texts of several lengths."""
    lengths = shape.keys - torch.arange(shape.B, device=DEVICE) % 4
    return (torch.arange(shape.keys, device=DEVICE) < lengths[:, None])[:, None, None]
