"""Compare the kernels with the reference, on whatever this machine has: a GPU, or Triton's interpreter."""

from dataclasses import replace

import torch
from hypothesis import Phase, settings
from torch import Tensor

from simcrop.core.reference import REFERENCE
from simcrop.kernels import TRITON
from support.kernel_inputs import Call
from support.poison import poisoned

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ODD_SIZES = settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""For hypothesis: without shrinking, which takes the interpreter many minutes."""
FLOATS = [torch.float32, torch.float16] + ([torch.bfloat16] if DEVICE.type == "cuda" else [])
"""What is compared here: the interpreter computes bf16 wrongly."""


def on_device(call: Call) -> Call:
    """The call, mask included, where the kernels run."""
    mask = call.options.get("sentence_mask")
    options = call.options if mask is None else {**call.options, "sentence_mask": mask.to(DEVICE)}
    return replace(call.to(DEVICE), options=options)


def assert_parity(call: Call, *, of: tuple[str, ...] | None = None) -> dict[str, Tensor]:
    """Every result and gradient of the kernel is as close to float64 as the reference in the same dtype is, twice over.

    Returns:
        What the kernel gave.
    """
    call = on_device(call)
    with poisoned():
        ours = call.run(TRITON, of=of)
    assert_as_exact(ours, call.run(REFERENCE, of=of), call.double().run(REFERENCE, of=of))
    return ours


def assert_as_exact(ours: dict[str, Tensor], reference: dict[str, Tensor], exact: dict[str, Tensor]) -> None:
    """Types, shapes and indices of the reference, and at most twice its distance from float64."""
    assert ours.keys() == reference.keys()
    for name, value in ours.items():
        wanted = reference[name]
        assert value.dtype == wanted.dtype, f"{name}: {value.dtype}, not {wanted.dtype}"
        assert value.shape == wanted.shape, f"{name}: {tuple(value.shape)}, not {tuple(wanted.shape)}"
        if not value.is_floating_point():
            assert torch.equal(value, wanted), name
            continue
        error, allowed = distance(value, exact[name]), distance(wanted, exact[name])
        size = float(exact[name].nan_to_num().abs().max()) if value.numel() else 0.0
        limit = 2 * allowed + 4 * torch.finfo(value.dtype).eps * size
        assert error <= limit, f"{name}: off by {error:.3g}, the reference by {allowed:.3g}, allowed {limit:.3g}"


def distance(value: Tensor, exact: Tensor) -> float:
    """Largest absolute difference; NaN agrees with NaN alone."""
    if not value.numel():
        return 0.0
    gap = (value.double() - exact.double()).abs()
    gap = torch.where(value.isnan() & exact.isnan(), 0.0, gap)
    return float(gap.nan_to_num(nan=float("inf")).max())
