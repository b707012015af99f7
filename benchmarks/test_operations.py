"""The five operations against their PyTorch baselines: forward, and forward with backward.

On a GPU: the kernels, in bf16, at the sizes of a ViT-B. On a CPU: the reference, in fp32, on smaller batches. Nothing
is timed before it has passed the correctness gate at the same size.
"""

import pytest
from contest import BACKWARD, FORWARD, OURS_ON_CPU, OURS_ON_GPU, Contestant, contestants, entered
from inputs import Inputs
from measuring import DEVICE
from problems import CPU, GPU, Problem, problems

ON_GPU = DEVICE.type == "cuda"
OURS = OURS_ON_GPU if ON_GPU else OURS_ON_CPU


@pytest.fixture(scope="session")
def inputs() -> Inputs:
    """Drawn once a problem."""
    return Inputs()


def cases() -> list[object]:
    """Problem by problem, since the inputs of one alone are kept."""
    return [
        pytest.param(problem, direction, who, id=f"{problem.name}-{direction}-{who.name}")
        for problem in problems(GPU if ON_GPU else CPU)
        for direction in (FORWARD, BACKWARD)
        if direction == FORWARD or problem.backward
        for who in contestants(problem.op, direction, OURS)
    ]


@pytest.mark.parametrize(("problem", "direction", "who"), cases())
def test_operation(problem: Problem, direction: str, who: Contestant, inputs: Inputs, measure) -> None:
    run = entered(problem, inputs.of(problem), who, direction)
    times = problem.backward or 1.0 if direction == BACKWARD else 1.0
    measure(
        f"{problem.name}: {direction}",
        who.name,
        run,
        flops=times * problem.flops,
        num_bytes=times * problem.bytes,
    )
