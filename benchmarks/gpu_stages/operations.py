"""Time every variant at real sizes, with its kernels and their registers; then the baselines, the costly ones last."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from baselines import MODES, compiled
from contest import BACKWARD, FORWARD, Contestant, contestants, entered
from inputs import Inputs
from kernel_variants import launches, name_of, variants_of
from measuring import Ceilings, peak_bytes, timed
from problems import GPU, REHEARSAL, Problem, one_of_each, problems
from static_graphs import as_traced

from gpu_stages import ceilings
from gpu_stages.day import Day
from gpu_stages.profiling import kernel_us
from simcrop.core.reference import REFERENCE
from simcrop.kernels import TRITON
from simcrop.kernels.variants import using

STAGE = "ops"
OURS, OURS_REFERENCE, EAGER = "simcrop (Triton)", "simcrop (reference)", "eager"
GUESSES = {OURS: 8, EAGER: 3, "compiled": 30, "max-autotune": 90}
"""Seconds of a row."""


def run(day: Day) -> None:
    """Ours and eager baselines of all problems, then those that are compiled, then those that are tuned too."""
    limits, inputs = ceilings.known(day), Inputs()
    for kinds in ((OURS, EAGER), *((what,) for what in MODES)):
        for problem, direction in directions(day):
            for kind, who in rivals(day, problem, direction):
                if kind in kinds:
                    measure = partial(_measured, day, inputs, limits, problem, who, direction)
                    name = row_name(problem, direction, who.name)
                    day.row(STAGE, name, measure, kind=f"{kind}, {problem.op}", guess=GUESSES[kind])


def directions(day: Day) -> Iterator[tuple[Problem, str]]:
    """Every problem, in every direction that somebody needs; in a rehearsal one of each operation, in one."""
    for problem in one_of_each(problems(REHEARSAL)) if day.rehearses else problems(GPU):
        if problem.backward is None or not day.rehearses:
            yield problem, FORWARD
        if problem.backward is not None:
            yield problem, BACKWARD


def row_name(problem: Problem, direction: str, who: str) -> str:
    """Of a measurement."""
    return f"{problem.name}: {direction} | {who}"


def rivals(day: Day, problem: Problem, direction: str) -> Iterator[tuple[str, Contestant]]:
    """Who competes, and the kind of each."""
    found = contestants(problem.op, direction, {OURS: TRITON, OURS_REFERENCE: REFERENCE})
    if day.rehearses:  # on a CPU the list ends before them
        found += [Contestant(name, make) for name, make in compiled(problem.op, as_traced).items()]
    for choices in variants_of(problem.op):
        if choices:
            yield OURS, replace(found[0], name=f"{OURS}, {name_of(choices)}", choices=choices)
    for who in found:
        kinds = (*MODES, OURS)
        yield next((kind for kind in kinds if who.name.endswith(kind) or who.name.startswith(kind)), EAGER), who


def _measured(
    day: Day,
    inputs: Inputs,
    limits: Ceilings | None,
    problem: Problem,
    who: Contestant,
    direction: str,
) -> Mapping[str, Any]:
    times = (problem.backward or 1.0) if direction == BACKWARD else 1.0
    flops, num_bytes = times * problem.flops, times * problem.bytes
    with using(**who.choices):
        function = entered(problem, inputs.of(problem), who, direction)
        with launches() as kernels:
            peak = 0 if day.rehearses else peak_bytes(function)
        timing = timed(function, rounds=2 if day.rehearses else 50)
        spent = kernel_us(function)
    return {
        "problem": problem.name,
        "op": problem.op,
        "direction": direction,
        "implementation": who.name,
        "ms": timing.median,
        "low_ms": timing.low,
        "high_ms": timing.high,
        "is_default": who.choices == variants_of(problem.op)[0],
        "is_captured": timing.is_captured,
        "of_floor": limits.floor_ms(flops, num_bytes) / timing.median if limits else None,
        "peak_mb": peak / 1e6,
        "kernels": kernels,
        "kernel_us": spent,
    }
