"""Baselines of the kernels compute the same, as far as that can be seen without a GPU."""

from dataclasses import replace

import pytest
import torch
from baselines import EAGER, ROUNDS_COSINES, Implementation, baselines, compiled, embed_gather_kernel
from contest import BACKWARD, FORWARD, Contestant, contestants, entered
from inputs import Inputs
from problems import REHEARSAL, Problem, problems
from static_graphs import Static, as_traced
from support.kernel_inputs import embed_call, mse_call, pairs_call
from support.parity import assert_as_exact, on_device

from simcrop.core.reference import REFERENCE

CALLS = {
    "masked_patch_embed": embed_call(visible=7),
    "sentence_patch_topk": pairs_call("sentence_patch_topk"),
    "sentence_volume_scores": pairs_call("sentence_volume_scores"),
    "soft_volume_scores": pairs_call("soft_volume_scores"),
    "masked_patch_mse": mse_call(),
}


@pytest.mark.parametrize(
    ("op", "name"), [(op, name) for op, functions in EAGER.items() for name in functions if op in CALLS]
)
def test_a_baseline_computes_the_operation(op: str, name: str) -> None:
    found = CALLS[op].run(replace(REFERENCE, **{op: EAGER[op][name]}))
    for key, expected in CALLS[op].run(REFERENCE).items():
        torch.testing.assert_close(found[key], expected, atol=1e-4, rtol=1e-4, msg=key)


@pytest.mark.parametrize("volume_dtype", [torch.int16, torch.float32])
def test_the_baseline_with_a_kernel_computes_the_operation(volume_dtype: torch.dtype) -> None:
    call = on_device(embed_call(visible=7, volume_dtype=volume_dtype))
    call = replace(call, wanted=("weight", "bias", "pos_embed"))
    ours = call.run(replace(REFERENCE, masked_patch_embed=embed_gather_kernel))
    assert_as_exact(ours, call.run(REFERENCE), call.double().run(REFERENCE))


@pytest.mark.parametrize("embed", [embed_gather_kernel, *EAGER["masked_patch_embed"].values()])
def test_a_baseline_takes_several_windows(embed: Implementation) -> None:
    call = on_device(embed_call(visible=7, volume_dtype=torch.int16, window=((-1000.0, 1000.0), (-150.0, 250.0))))
    found, expected = (call.run(ops) for ops in (replace(REFERENCE, masked_patch_embed=embed), REFERENCE))
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, atol=1e-4, rtol=1e-4, msg=key)


PROBLEMS = problems(REHEARSAL)
COMPILED = [
    (problem, direction, name)
    for problem in PROBLEMS
    for direction in (FORWARD, BACKWARD)
    for name in compiled(problem.op, as_traced)
    if name.endswith("max-autotune")
]


@pytest.mark.parametrize(("problem", "direction", "name"), COMPILED)
def test_a_compiled_baseline_is_one_static_graph_at_the_size_that_is_timed(
    problem: Problem, direction: str, name: str
) -> None:
    """After any number of other sizes, directions and modes, which are those of this test's other cases."""
    made: list[Static] = []

    def make() -> Static:
        made.append(compiled(problem.op, as_traced)[name]())
        return made[0]

    run = entered(problem, Inputs().of(problem), Contestant(name, make), direction)
    run()
    run()
    (function,) = made
    function.check()
    assert function.calls == 3


@pytest.mark.parametrize("problem", [each for each in PROBLEMS if each.backward], ids=lambda problem: problem.name)
def test_every_contestant_passes_the_gate(problem: Problem) -> None:
    inputs = Inputs().of(problem)
    for who in contestants(problem.op, BACKWARD, {"simcrop (reference)": REFERENCE}):
        entered(problem, inputs, who, BACKWARD)()


def test_what_rounds_its_cosines_competes_in_fp32_alone() -> None:
    on_cpu, on_gpu = (baselines("sentence_patch_topk", torch.device(name), as_traced) for name in ("cpu", "cuda"))
    assert set(ROUNDS_COSINES) < set(on_cpu)
    assert not any("bmm, scale" in name for name in on_gpu)
    assert {"normalize, bmm, topk, gather, compiled", "bmm with fp32 output, scale, topk, gather"} < set(on_gpu)


def test_a_wrong_implementation_is_not_timed() -> None:
    problem = PROBLEMS[1]

    def shifted(*tensors: torch.Tensor, **options: object) -> object:
        result = REFERENCE.sentence_patch_topk(*tensors, **options)
        return result._replace(scores=result.scores + 0.01)

    with pytest.raises(AssertionError, match=r"not timed, it is wrong in scores: off by 0\.01"):
        entered(problem, Inputs().of(problem), Contestant("shifted", lambda: shifted), FORWARD)
