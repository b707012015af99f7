"""Let implementations of an operation compete: the same inputs, a correctness gate at the same shape, then the time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import torch
from baselines import Implementation, baselines, has_backward
from exactness import gate_limits, offences
from inputs import Prepared
from measuring import DEVICE
from problems import Problem
from static_graphs import Static, inductor
from support.kernel_inputs import Call
from torch import Tensor

from simcrop.core.ops import Ops
from simcrop.core.reference import REFERENCE
from simcrop.kernels import TRITON

torch.backends.cudnn.benchmark = True  # convolutions are to compete at their best
FORWARD, BACKWARD = "forward", "forward and backward"
AGAIN = ", again"
"""In the name of an implementation that is measured twice: the two rows differ by chance alone."""
THROUGH_AUTOGRAD = ", through autograd"


@dataclass(frozen=True)
class Contestant:
    """An implementation that competes.

    Attributes:
        make: gives it; compiles it, where it has to be.
        choices: variants of kernels that are to be in use.
        keeps_gradient: its forward pass has the gradient ready, and a step needs no more than a product with it.
    """

    name: str
    make: Callable[[], Implementation]
    choices: Mapping[str, str] = field(default_factory=dict)
    keeps_gradient: bool = False


def contestants(op: str, direction: str, ops: Mapping[str, Ops]) -> list[Contestant]:
    """Everybody who can do the operation: ours first, the first of them twice, then the baselines.

    A loss with its gradient is two rows of ours: as the kernel gives it, and as autograd hands it on, which multiplies
    it by the gradient of the loss. The first is what baselines, too, do within their kernels.
    """
    ours: list[Contestant] = []
    for name, bundle in ops.items():
        keeps = op == "masked_patch_mse" and bundle is TRITON and direction == BACKWARD
        ours.append(Contestant(name, _always(getattr(bundle, op)), keeps_gradient=keeps))
        if keeps:
            ours.append(Contestant(f"{name}{THROUGH_AUTOGRAD}", _always(getattr(bundle, op))))
    others = [
        Contestant(name, make)
        for name, make in baselines(op, DEVICE, inductor).items()
        if direction == FORWARD or has_backward(name)
    ]
    return [ours[0], replace(ours[0], name=f"{ours[0].name}{AGAIN}"), *ours[1:], *others]


def _always(function: Implementation) -> Callable[[], Implementation]:
    return lambda: function


def entered(problem: Problem, prepared: Prepared, who: Contestant, direction: str) -> Callable[[], object]:
    """What is timed, once it has passed the gate at the shape that is timed.

    Raises:
        AssertionError: it computes something else, or was not compiled as it says.
    """
    function = who.make()
    call = prepared.call if direction == BACKWARD else replace(prepared.call, wanted=())
    implementation, arguments = SimpleNamespace(**{call.op: function}), call.arguments()

    def forward() -> dict[str, Tensor]:
        with torch.set_grad_enabled(direction == BACKWARD):
            return call.forward(implementation, arguments)  # pyright: ignore[reportArgumentType]

    results = forward()
    assert_passes(problem, call, results, prepared.exact, who.name)
    if isinstance(function, Static):
        function.check()
    if direction == FORWARD or who.keeps_gradient:
        return forward
    upstream = torch.ones_like(_differentiated(results))
    leaves = [leaf for leaf in arguments if leaf is not None and leaf.requires_grad]

    def forward_and_backward() -> object:
        return torch.autograd.grad(_differentiated(forward()), leaves, upstream, allow_unused=True)

    return forward_and_backward


def _differentiated(results: Mapping[str, Tensor]) -> Tensor:
    return results.get("aligned", next(iter(results.values())))


def assert_passes(
    problem: Problem, call: Call, results: Mapping[str, Tensor], exact: Mapping[str, Tensor], name: str
) -> None:
    """Raise AssertionError where a result is more than a few roundings from float64."""
    weights = next(value for value in call.tensors.values() if value is not None and value.dtype.is_floating_point)
    dtype = call.tensors["weight"].dtype if "weight" in call.tensors else weights.dtype
    found = {key: value.detach() for key, value in results.items()}
    wrong = list(offences(call, found, exact, gate_limits(found, exact, dtype)))
    assert not wrong, f"{problem.name}, {name}: not timed, it is wrong in {'; '.join(wrong)}"


OURS_ON_GPU: dict[str, Ops] = {"simcrop (Triton)": TRITON, "simcrop (reference)": REFERENCE}
OURS_ON_CPU: dict[str, Ops] = {"simcrop (reference)": REFERENCE}
