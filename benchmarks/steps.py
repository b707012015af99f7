"""Whole training steps, all objectives on: the settings to compare, and what a step needs."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import torch
from measuring import DEVICE
from support.kernel_inputs import Draw
from synthetic import chests, corpus, prepared, study_batches
from torch.utils.flop_counter import FlopCounterMode

from simcrop.adapters.checkpoints.models import make_model
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.loading.buffers import ahead
from simcrop.core.data.batch import PreparedBatch
from simcrop.core.model.encoder import compile_blocks
from simcrop.core.ops import Ops
from simcrop.core.ports import SingleProcess, Tokenizer
from simcrop.core.reference import REFERENCE
from simcrop.core.training.learner import PreTraining, arrange_blocks
from simcrop.core.training.loop import train_step
from simcrop.core.training.optimization import make_optimizers
from simcrop.kernels import TRITON, why_not

BERT_BASE = tuple(
    f"text_encoder.{setting}"
    for setting in ("hidden_size=768", "depth=12", "num_heads=12", "vocab_size=30522", "frozen=true", "dropout=0")
)


@dataclass(frozen=True)
class StepProblem:
    """A step that is run with several settings.

    Attributes:
        studies, sentences, words: of a batch; sentences of a study; words of a sentence.
        options: of every run of it.
    """

    preset: str
    studies: int
    sentences: int
    words: int
    options: Sequence[str] = ()


@dataclass(frozen=True)
class Variant:
    """Settings of a step.

    Attributes:
        options: what else is set.
        compiled: the blocks are compiled.
        kept: batches hold what the frozen text encoder makes of the findings.
    """

    options: Sequence[str] = ()
    compiled: bool = False
    kept: bool = False


VIT_B = StepProblem("vit_b", 32 if DEVICE.type == "cuda" else 1, 32, 11, BERT_BASE)
TINY = StepProblem("tiny", 8, 10, 7)
TWELVE_HEADS = ("model.decoder_heads=12",)


@dataclass(frozen=True)
class Step:
    """A step that can be run again and again.

    Attributes:
        run: one update.
        flops: of one update, as counted by torch; those of the Triton kernels are not in it.
    """

    run: Callable[[], object]
    flops: float


def step_of(problem: StepProblem, variant: Variant, folder: Path, *, backend: str = "inductor") -> Step:
    """Model, optimizers and a batch, put together.

    Args:
        problem, variant: sizes and settings.
        folder: for the configuration and the prepared volumes, which are made once.
        backend: compiles the blocks, where that is asked for.
    """
    config = configured(problem, variant, folder)
    learner, tokenizer = learner_of(config)
    batch = batch_of(config, problem, tokenizer, folder)
    if variant.kept:
        batch = with_features(batch, config.text_encoder.hidden_size)

    upcoming = ahead(repeat([batch]), DEVICE)

    def run() -> object:
        return train_step(learner, next(upcoming), step=1, communicator=SingleProcess())

    with FlopCounterMode(display=False) as counter:
        run()
    if variant.compiled:
        torch._dynamo.reset()
        for part in learner.model.image_parts:
            compile_blocks(part.blocks, backend=backend)
    return Step(run, float(counter.get_total_flops()))


def configured(problem: StepProblem, variant: Variant, folder: Path) -> RunConfig:
    """The configuration of a run with these settings."""
    path = folder / "run.yaml"
    path.write_text(f"name: step\nmodel: {{preset: {problem.preset}}}\n", encoding="utf-8")
    own = (f"train.device={DEVICE.type}", "train.compile=false", f"train.batch_size={problem.studies}")
    return load_config(path, [*own, *problem.options, *variant.options])


def learner_of(config: RunConfig, ops: Ops | None = None) -> tuple[PreTraining, Tokenizer]:
    """A model with random weights, ready to be trained; with the operations that `train.ops` means, or with others."""
    texts = corpus(config.text_encoder.vocab_size)
    model, tokenizer = make_model(config, ops or operations(config.train.ops), reports=lambda: texts)
    model.to(DEVICE).train()
    for part in model.image_parts:
        arrange_blocks(part, DEVICE, config.train)
    return PreTraining(model, model, make_optimizers(model, config.train), config.train, 0, DEVICE), tokenizer


def operations(choice: str) -> Ops:
    """The operations that `train.ops` means here; in Triton's interpreter a step would take minutes."""
    return REFERENCE if choice == "reference" or DEVICE.type != "cuda" or why_not(DEVICE) else TRITON


def batch_of(config: RunConfig, problem: StepProblem, tokenizer: Tokenizer, folder: Path) -> PreparedBatch:
    """The first batch of a run."""
    source = chests(config, problem.studies, sentences=problem.sentences, words=problem.words)
    volumes = prepared(source, folder / "prepared", workers=min(8, os.cpu_count() or 1))
    (batch,) = next(study_batches(config, source, volumes, tokenizer).batches(1))
    return batch


def with_features(batch: PreparedBatch, hidden_size: int) -> PreparedBatch:
    """The batch with random features in place of those that a frozen text encoder would have made."""
    shape = *batch.inputs.findings.ids.shape, hidden_size
    known = torch.randn(shape, generator=Draw().generator).half()
    known = known.pin_memory() if DEVICE.type == "cuda" else known
    return replace(batch, inputs=replace(batch.inputs, findings_features=known))
