"""Time whole training steps with each of their levers, and see where the time goes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from measuring import DEVICE, Ceilings, Timing, peak_bytes
from steps import BERT_BASE, TWELVE_HEADS, StepProblem, Variant, step_of

from gpu_stages import ceilings
from gpu_stages.day import Day
from gpu_stages.profiling import profiled

STAGE = "step"
COMPILED, ALL = "blocks compiled", "all levers: compiled, kept, 12 heads"
EAGER, KEPT, HEADS = "eager", "findings kept", "12 decoder heads"
VARIANTS = {
    COMPILED: Variant(compiled=True),
    EAGER: Variant(),
    ALL: Variant(TWELVE_HEADS, compiled=True, kept=True),
    KEPT: Variant(kept=True),
    HEADS: Variant(TWELVE_HEADS),
    "flash attention first": Variant(("train.attention=flash",)),
    "cudnn attention first": Variant(("train.attention=cudnn",)),
    "reference operations": Variant(("train.ops=reference",)),
}
"""The most telling first."""
FULL, TINY = StepProblem("vit_b", 32, 32, 11, BERT_BASE), StepProblem("tiny", 2, 3, 4)


@dataclass(frozen=True)
class Stopwatch:
    """Steps before and while the time is taken."""

    warm_up: int
    steps: int

    def time(self, run: Callable[[], object]) -> Timing:
        """Wall time from step to step, one right after the other, as in a training: each waits for its own losses."""
        for _ in range(self.warm_up):
            run()
        drain()
        marks = [time.perf_counter()]
        for _ in range(self.steps):
            run()
            marks.append(time.perf_counter())
        return Timing.of([1e3 * (end - begin) for begin, end in pairwise(marks)])


def drain() -> None:
    """Wait for the GPU."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def run(day: Day) -> None:
    """Every variant, its profile with it."""
    limits = ceilings.known(day)
    problem, watch = (TINY, Stopwatch(1, 2)) if day.rehearses else (FULL, Stopwatch(4, 8))
    for name, variant in VARIANTS.items():
        if day.rehearses and name not in (EAGER, COMPILED, KEPT):
            continue  # a tiny decoder cannot have twelve heads
        measure = partial(_measured, day, limits, problem, variant, watch)
        kind, guess = ("compiled step", 100) if variant.compiled else ("step", 35)
        day.row(STAGE, name, measure, kind=kind, guess=guess)


def _measured(
    day: Day, limits: Ceilings | None, problem: StepProblem, variant: Variant, watch: Stopwatch
) -> Mapping[str, Any]:
    step = step_of(problem, variant, day.scratch, backend="eager" if day.rehearses else "inductor")
    timing = watch.time(step.run)
    peak = peak_bytes(step.run)
    tflops = step.flops / timing.median / 1e9
    return {
        "ms": timing.median,
        "low_ms": timing.low,
        "high_ms": timing.high,
        "studies_per_s": 1e3 * problem.studies / timing.median,
        "tflops": tflops,
        "of_ceiling": tflops / limits.tflops if limits else None,
        "peak_gb": peak / 1e9,
        "flops": step.flops,
        **profiled(step.run, timing.median),
    }
