"""A whole training step, all objectives on: with the kernels and with the reference, and with each of its levers.

On a GPU a ViT-B with a frozen text encoder of BERT-base's size at 32 studies. On a CPU, where only the reference runs,
the same at one study, and the tiny preset at 8.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from contest import AGAIN
from measuring import DEVICE
from steps import TINY, TWELVE_HEADS, VIT_B, StepProblem, Variant, step_of

ON_GPU = DEVICE.type == "cuda"
OURS = "simcrop (Triton)" if ON_GPU else "simcrop (reference)"
LEVERS = {
    OURS: Variant(),
    f"{OURS}{AGAIN}": Variant(),
    f"{OURS}, findings kept": Variant(kept=True),
    f"{OURS}, 12 decoder heads": Variant(TWELVE_HEADS),
    f"{OURS}, word head on every position": Variant(("objectives.report.loss=all",)),
}
LEVERS_ON_A_GPU = {
    "simcrop (reference)": Variant(("train.ops=reference",)),
    f"{OURS}, blocks compiled": Variant(compiled=True),
    f"{OURS}, torch's order of attention": Variant(("train.attention=torch",)),
    f"{OURS}, flash attention first": Variant(("train.attention=flash",)),
}
LEVERS_OF_TINY = {OURS: Variant(), f"{OURS}{AGAIN}": Variant(), f"{OURS}, blocks compiled": Variant(compiled=True)}


def cases() -> list[object]:
    """Of a ViT-B, and on a CPU of the tiny preset."""
    problems: list[tuple[StepProblem, Mapping[str, Variant]]] = [(VIT_B, LEVERS | (LEVERS_ON_A_GPU if ON_GPU else {}))]
    problems += [] if ON_GPU else [(TINY, LEVERS_OF_TINY)]
    return [
        pytest.param(problem, name, variant, id=f"{problem.preset}-{name}")
        for problem, variants in problems
        for name, variant in variants.items()
    ]


@pytest.mark.parametrize(("problem", "name", "variant"), cases())
def test_step(problem: StepProblem, name: str, variant: Variant, measure: Callable[..., None], tmp_path: Path) -> None:
    step = step_of(problem, variant, tmp_path)
    text = ", a frozen BERT-base" if problem.options else ""
    measure(
        f"training step, {problem.preset}{text}, {problem.studies} {'study' if problem.studies == 1 else 'studies'}",
        name,
        step.run,
        flops=step.flops,
        num_bytes=0.0,
        rounds=3 if problem is VIT_B else 5,
    )
