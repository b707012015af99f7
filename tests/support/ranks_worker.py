"""One rank of test_ranks: takes its share of every case's step and, on rank 0, writes losses and gradients.

torchrun --nproc-per-node N ranks_worker.py OUT; without torchrun it is the one process that has the whole batch.
"""

import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from simcrop.adapters.system.ranks import average_gradients, choose_device, connect, disconnect
from simcrop.core.data.batch import PreparedBatch
from simcrop.core.ports import Communicator
from simcrop.core.recipe import AlignmentRecipe, LateInteractionRecipe, ObjectivesRecipe, OrganSharesRecipe, TrainRecipe
from simcrop.core.training.learner import PreTraining, counts_of, held_out_losses
from simcrop.core.training.loop import Ports, fit, train_step
from simcrop.core.training.optimization import make_optimizers
from simcrop.core.training.progress import Progress
from support.tiny import LOCAL, MODEL, OBJECTIVES, KeptInMemory, Rows, make_batch, make_model

RECIPE = TrainRecipe(steps=4, warmup_steps=0, lr=0.01, grad_clip=1.0)
TOGETHER = replace(RECIPE, contrast="step")
UNEVEN = [[3, 0, 1, 5], [2, 2, 0, 0]]
"""Sentences of every study, by micro-batch: reports without any, and a whole rank without any; so are the organs."""
CASES: dict[str, ObjectivesRecipe] = {
    "report": OBJECTIVES,
    "global": replace(OBJECTIVES, alignment=AlignmentRecipe(top_k=2, negatives="global")),
    "local": replace(OBJECTIVES, late_interaction=LateInteractionRecipe()),
    "no_duplicates": replace(OBJECTIVES, alignment=AlignmentRecipe(top_k=2, negatives="global", mask_duplicates=False)),
    "report together": OBJECTIVES,
    "global together": replace(OBJECTIVES, alignment=AlignmentRecipe(top_k=2, negatives="global")),
    "local together": replace(
        OBJECTIVES,
        alignment=AlignmentRecipe(top_k=2, negatives="global", mask_duplicates=False),
        late_interaction=LateInteractionRecipe(),
    ),
    "organs": replace(OBJECTIVES, organ_shares=OrganSharesRecipe(weight=1.0, classes={"a": ("a",), "b": ("b",)})),
}

MODELS = {"local": LOCAL, "local together": LOCAL}
"""Cases with another model than the usual one."""


def learner_of(name: str, communicator: Communicator) -> PreTraining:
    """A model that is trained."""
    model = make_model(CASES[name], model=MODELS.get(name, MODEL))
    network, recipe = average_gradients(model, communicator), TOGETHER if is_together(name) else RECIPE
    return PreTraining(model, network, make_optimizers(model, recipe), recipe, 0, torch.device("cpu"))


def is_together(name: str) -> bool:
    """Whether all studies of a step are compared: by one process in one micro-batch, by several in as many as usual."""
    return name.endswith("together")


def batches_of(name: str, step: int, communicator: Communicator) -> list[PreparedBatch]:
    """This rank's micro-batches of a step."""
    if not is_together(name):
        return [share(counts, (step, micro), communicator) for micro, counts in enumerate(UNEVEN)]
    if communicator.world_size == 1:
        return [make_batch([*itertools.chain(*UNEVEN)], key=step)]
    firsts = itertools.accumulate(map(len, UNEVEN[:-1]), initial=0)
    return [share(counts, step, communicator, first) for first, counts in zip(firsts, UNEVEN, strict=True)]


def share(counts: list[int], key: object, communicator: Communicator, before: int = 0) -> PreparedBatch:
    """This rank's studies of a micro-batch, in the order in which one process would have them; `before` come others."""
    size = len(counts) // communicator.world_size
    first = communicator.rank * size
    return make_batch(counts[first : first + size], key=key, room=before + first)


def run_case(name: str, communicator: Communicator) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Rows of two steps, held-out losses last, and the gradients of the second step."""
    learner, rows = learner_of(name, communicator), list[dict[str, float]]()
    for step in (1, 2):
        batches = batches_of(name, step, communicator)
        rows.append(train_step(learner, batches, step=step, communicator=communicator))
    gradients = {key: p.grad.clone() for key, p in learner.model.named_parameters() if p.grad is not None}
    held_out = [make_batch([2, 1], key="a"), make_batch([3], key="b"), make_batch([0], key="c")]
    mine = [batch.augmented() for batch in held_out[communicator.rank :: communicator.world_size]]
    return [*rows, held_out_losses(learner, mine, communicator)], gradients


def exchanges(name: str, communicator: Communicator) -> dict[str, int]:
    """Collectives that the second step of a loop calls; DDP calls its own from elsewhere."""
    learner, calls, before = learner_of(name, communicator), Counter[str](), list[Counter[str]]()

    def batches(first_step: int) -> Iterator[Sequence[PreparedBatch]]:
        while True:
            before.append(calls.copy())
            yield batches_of(name, first_step, communicator)[: None if is_together(name) else 1]

    def counting(kind: str, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls[kind] += 1
            return function(*args, **kwargs)

        return call

    originals = {kind: getattr(dist, kind) for kind in ("all_reduce", "all_gather")}
    try:
        for kind, function in originals.items():
            setattr(dist, kind, counting(kind, function))
        ports = Ports(batches, dict, communicator, KeptInMemory(), Rows(), lambda: False, counts=counts_of)
        fit(learner, ports, Progress())
    finally:
        for kind, function in originals.items():
            setattr(dist, kind, function)
    return dict(before[2] - before[1])


def main(out: Path) -> None:
    """Run every case."""
    torch.set_num_threads(1)
    communicator = connect(choose_device("cpu"))
    try:
        for name in CASES:
            if communicator.world_size > 1:
                (out / f"{name} exchanges {communicator.rank}.json").write_text(
                    json.dumps(exchanges(name, communicator))
                )
            rows, gradients = run_case(name, communicator)
            if communicator.rank == 0:
                save_file(gradients, out / f"{name}.safetensors")
                (out / f"{name}.json").write_text(json.dumps(rows))
    finally:
        disconnect()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
