"""Count what a training step launches beside the five operations: `python benchmarks/launches.py` on any CPU.

On a GPU each of these costs the CPU some 5 us, and one that waits for the device holds up all that follow. Blocks are
counted as they are without torch.compile, AdamW as it runs on a GPU: all tensors of a group at once.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from steps import TINY, VIT_B, StepProblem, Variant, batch_of, configured, learner_of
from support.watching import Watch

from simcrop.core.model.patches import holds_tissue
from simcrop.core.ports import SingleProcess, summed
from simcrop.core.reference import REFERENCE
from simcrop.core.training.loop import train_step

ALONE = SingleProcess()
DEFAULT = ("model.volume_size=[48,48,24]", "model.patch_size=[6,6,3]", "train.optimizer=muon")
PROBLEMS = {
    "pretrain.yaml, 32 studies": (replace(TINY, studies=32), DEFAULT),
    "tiny, improved, 8 studies": (TINY, ()),
    "tiny, paper, 8 studies": (TINY, ("recipe=paper",)),
    "vit_b, a frozen BERT-base, 2 studies": (replace(VIT_B, studies=2), ()),
}


def count(problem: StepProblem, options: tuple[str, ...]) -> tuple[Watch, Watch]:
    """What the second step of a run launches, and what telling its tissue does."""
    watch, tissue = Watch(), Watch()
    with tempfile.TemporaryDirectory() as folder:
        config = configured(problem, Variant(options), Path(folder))
        learner, tokenizer = learner_of(config, watch.blind(REFERENCE))
        batch = batch_of(config, problem, tokenizer, Path(folder))
    for optimizer in learner.optimizers:
        for group in optimizer.param_groups if isinstance(optimizer, torch.optim.AdamW) else []:
            group["foreach"] = True
    totals = summed(ALONE, learner.counts([batch], ALONE))
    train_step(learner, [batch], step=1, communicator=ALONE, totals=totals)
    with watch.watching(learner.optimizers):
        train_step(learner, [batch], step=2, communicator=ALONE, totals=totals)
    seen = batch.augmented()
    with tissue.watching():
        holds_tissue(seen.volume, seen.inputs.ids_keep, config.model.patch_size, config.model.window)
    return watch, tissue


def main() -> None:
    """Print the table."""
    print("| step | launches | of which tissue | waits |\n|---|---|---|---|")
    for name, (problem, options) in PROBLEMS.items():
        watch, tissue = count(problem, options)
        told = sum(tissue.launches.values()) if options != ("recipe=paper",) else 0
        print(f"| {name} | {sum(watch.launches.values())} | {told} | {sum(watch.waits.values())} |", flush=True)


if __name__ == "__main__":
    main()
