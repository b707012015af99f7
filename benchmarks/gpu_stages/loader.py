"""Read batches from a prepared cache to the device, with several numbers of workers: studies a second."""

import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from measuring import DEVICE
from steps import StepProblem, Variant, configured, learner_of
from synthetic import chests, prepared, study_batches

from gpu_stages.day import Day
from gpu_stages.step import FULL, TINY, drain

STAGE = "loader"
NUM_WORKERS = (8, 2, 0)
"""The most telling first."""


def run(day: Day) -> None:
    """Make the volumes once, then read them with each number of workers."""
    problem, batches = (TINY, 2) if day.rehearses else (FULL, 10)
    for num_workers in NUM_WORKERS[1:] if day.rehearses else NUM_WORKERS:
        measure = partial(_measured, problem, num_workers, batches, day.scratch)
        day.row(STAGE, f"{num_workers} workers", measure, kind="loader", guess=40)


def _measured(problem: StepProblem, num_workers: int, num_batches: int, folder: Path) -> Mapping[str, Any]:
    config = configured(problem, Variant(), folder)
    _, tokenizer = learner_of(configured(TINY, Variant(), folder))
    source = chests(config, 2 * problem.studies, sentences=problem.sentences, words=problem.words)
    volumes = prepared(source, folder / "prepared", workers=min(8, os.cpu_count() or 1))
    steps = study_batches(config, source, volumes, tokenizer, num_workers=num_workers).batches(1)
    num_bytes, warm_up = 0, 2 + 2 * num_workers
    for number in range(num_batches + warm_up):
        if number == warm_up:  # every worker has opened what there is, and what each kept ready has been read
            drain()
            began = time.perf_counter()
        (batch,) = next(steps)
        num_bytes = batch.volume.nbytes
        batch.to(DEVICE, non_blocking=True).augmented()
        drain()  # as a step does, before the memory of its batch is written to again
    seconds = (time.perf_counter() - began) / num_batches
    return {
        "num_workers": num_workers,
        "studies_per_s": problem.studies / seconds,
        "gb_per_s": num_bytes / seconds / 1e9,
        "ms": 1e3 * seconds,
    }
