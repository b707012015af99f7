"""Compare every operation, dtype and variant with float64; look for illegal accesses and races in tiny calls."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from exactness import offences, parity_limits
from inputs import Inputs, Prepared
from kernel_variants import name_of, variants_of
from measuring import DEVICE
from problems import GPU, REHEARSAL, Problem, Scale, one_of_each, problems
from support.kernel_inputs import Call
from support.poison import poisoned

from gpu_stages.day import Day
from simcrop.kernels import TRITON
from simcrop.kernels.variants import using

STAGE = "check"
SANITIZER = "compute-sanitizer"
TOOLS = ("memcheck", "racecheck")
"""Of the sanitizer: illegal accesses, races in shared memory."""
TIMED_OUT = 124
"""Exit status of `timeout`."""
REPORTED = 99
"""Exit status of the sanitizer, where the calls went through and it has something to report."""
MOST_REPORTS = 100
"""After so many the sanitizer prints no more."""
Case = tuple[Problem, dict[str, str]]
"""A problem and the variants to be in use."""


def run(day: Day) -> None:
    """Each operation once in all dtypes, then the sanitizer, then all sizes."""
    inputs = Inputs()
    found = [named for scale in scales(day) for named in _named(scale)]
    first = [named for scale in scales(day) for named in one_of_each(_named(scale))]
    _compare_all(day, inputs, first)
    for tool in TOOLS:
        day.row(STAGE, f"{SANITIZER} {tool}", partial(_searched, tool), kind=f"{SANITIZER} {tool}", guess=60)
    if not day.rehearses:
        _compare_all(day, inputs, found)


def _named(scale: Scale) -> list[Problem]:
    """The problems of a scale, named after its dtype too."""
    return [replace(problem, name=f"{problem.name}, {str(scale.dtype)[6:]}") for problem in problems(scale)]


def _compare_all(day: Day, inputs: Inputs, found: list[Problem]) -> None:
    """Compare the default variant of every problem, then the others; what was compared before is left alone."""
    for problem, choices in in_order(found):
        measure = partial(_compared, inputs, problem, choices)
        day.row(STAGE, row_name(problem.name, choices), measure, kind=f"check {problem.op}", guess=8)


def in_order(found: list[Problem]) -> Iterator[Case]:
    """The default variant of every problem, then the others."""
    for problem in found:
        yield problem, variants_of(problem.op)[0]
    for problem in found:
        for choices in variants_of(problem.op)[1:]:
            yield problem, choices


def row_name(problem: str, choices: Mapping[str, str]) -> str:
    """Of a comparison."""
    return f"{problem} | {name_of(choices) or 'one variant'}"


def scales(day: Day) -> Iterator[Scale]:
    """A scale in each dtype that the kernels compute in; the interpreter has no bf16."""
    if day.rehearses:
        yield REHEARSAL
    else:
        yield from (replace(GPU, dtype=dtype) for dtype in (torch.bfloat16, torch.float16, torch.float32))


def _compared(inputs: Inputs, problem: Problem, choices: Mapping[str, str]) -> Mapping[str, Any]:
    prepared = inputs.of(problem)
    if problem.backward is None:
        prepared = Prepared(replace(prepared.call, wanted=()))
    with using(**choices):
        compare(prepared.call, prepared.exact_with_gradients)
    return {"variant": name_of(choices)}


def compare(call: Call, exact: Mapping[str, torch.Tensor]) -> None:
    """Run the kernels twice, in memory full of NaN.

    Raises:
        AssertionError: they are further from float64 than the reference is, twice over, or the runs differ.
    """
    with poisoned():
        found, again = call.run(TRITON), call.run(TRITON)
    wrong = list(offences(call, found, exact, parity_limits(call, exact)))
    wrong += [f"{name}: differs from run to run" for name in found if not same(found[name], again[name])]
    assert not wrong, "; ".join(wrong)


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Equal bits, or NaN in both."""
    return bool(((first == second) | (first.isnan() & second.isnan())).all())


def _searched(tool: str) -> Mapping[str, Any]:
    program = shutil.which(SANITIZER) or shutil.which(SANITIZER, path="/usr/local/cuda/bin")
    if program is None or DEVICE.type != "cuda":
        return {"skipped": f"{SANITIZER} is not on this machine"}
    return sanitized(program, tool)


def sanitized(program: str, tool: str = "memcheck", *, seconds: int = 150) -> Mapping[str, Any]:
    """What a tool of NVIDIA's sanitizer says of tiny calls of everything.

    Returns:
        What it `says` at the end; in a `note`, races within kernels of others.

    Raises:
        AssertionError: it found something else, or the calls failed.
    """
    asked = [program, "--tool", tool, "--error-exitcode", str(REPORTED), sys.executable, "-m", "gpu_stages.check"]
    # `timeout` ends what the sanitizer started, too.
    command = ["timeout", str(seconds), *asked]
    # From torch's cache, tiny tensors are parts of one large piece, in which no access is illegal.
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode == TIMED_OUT:
        return {"skipped": f"not done after {seconds} s"}
    assert done.returncode in (0, REPORTED), done.stdout[-400:]
    says = {"says": done.stdout.strip().splitlines()[-1]}
    return says | ({"note": races_of_others(done.stdout)} if done.returncode == REPORTED else {})


def races_of_others(output: str) -> str:
    """How many races the sanitizer reports within kernels that are not ours.

    Args:
        output: a first line, reports with empty lines between them, a summary. A race names the kernel of each access:
            `Read access at NAME+0xb00`.

    Raises:
        AssertionError: a report is about one of our kernels, or about no race, or others may have been left out.
    """
    said = [line.strip("= ") for line in output.splitlines() if line.startswith("===")]
    said = [line for line in said if line != "COMPUTE-SANITIZER" and "SUMMARY" not in line]
    reports = [report for report in "\n".join(said).split("\n\n") if report.strip()]
    assert 0 < len(reports) < MOST_REPORTS, f"{len(reports)} reports\n{output[-400:]}"
    names = [re.findall(r"access at (.*)\+0x", report) for report in reports]
    ours = our_kernels()
    for report, found in zip(reports, names, strict=True):
        assert len(found) == report.count("access at") > 0, report[:400]
        assert not any(kernel in name for kernel in ours for name in found), report[:400]
    return f"races in kernels that are not ours: {len(reports)}, the first in {names[0][0]}"


def our_kernels() -> set[str]:
    """Names of what simcrop launches, as the sanitizer has them."""
    modules = [module for name, module in sys.modules.items() if name.startswith("simcrop.kernels.")]
    return {name for module in modules for name in vars(module) if name.endswith("_kernel")}


def tiny_calls(dtype: torch.dtype) -> None:
    """Every operation and variant once, forward and backward, of few rows so long that loops go round several times."""
    for problem in problems(replace(REHEARSAL, dtype=dtype, volume=(16, 16, 32), patch=(8, 8, 8), features=256)):
        for choices in variants_of(problem.op):
            with using(**choices):
                problem.make(DEVICE.type).run(TRITON)


if __name__ == "__main__":
    tiny_calls(torch.bfloat16 if DEVICE.type == "cuda" else torch.float16)
