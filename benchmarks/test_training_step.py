"""A whole training step, all objectives on: with the kernels and with the reference, and with each of its levers.

On a GPU a ViT-B with a frozen text encoder of BERT-base's size at 32 studies. On a CPU, where only the reference runs,
the same at one study, and the tiny preset at 8.
"""

import random
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from contest import AGAIN
from measuring import DEVICE
from support.kernel_inputs import Draw
from torch.utils.flop_counter import FlopCounterMode

from simcrop import compose
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import load_config
from simcrop.core.data.augment import Augmentation
from simcrop.core.data.batch import Inputs, MaskedReport, PreparedBatch, Tokens
from simcrop.core.model.masking import draw_patch_mask
from simcrop.core.ports import SingleProcess
from simcrop.core.training.learner import PreTraining
from simcrop.core.training.loop import train_step
from simcrop.core.training.optimization import make_optimizers

ON_GPU = DEVICE.type == "cuda"
BERT_BASE = tuple(
    f"text_encoder.{setting}"
    for setting in ("hidden_size=768", "depth=12", "num_heads=12", "vocab_size=30522", "frozen=true", "dropout=0")
)
KEPT = "findings kept"
"""In the name of a variant whose batches hold what the frozen text encoder makes of the findings."""


@dataclass(frozen=True)
class Problem:
    """A step that is run with several settings.

    Attributes:
        studies, sentences, words: of a batch; sentences of a study; words of a sentence.
        options: of every run of it.
        variants: name -> what else is set.
        rounds: how often it is timed on a CPU.
    """

    preset: str
    studies: int
    sentences: int
    words: int
    options: Sequence[str]
    variants: Mapping[str, Sequence[str]]
    rounds: int


def vit_b() -> Problem:
    ours = "simcrop (Triton)" if ON_GPU else "simcrop (reference)"
    levers: dict[str, Sequence[str]] = {
        ours: (),
        f"{ours}{AGAIN}": (),
        f"{ours}, {KEPT}": (),
        f"{ours}, 12 decoder heads": ("model.decoder_heads=12",),
        f"{ours}, word head on every position": ("objectives.report.loss=all",),
    }
    if ON_GPU:
        levers |= {
            "simcrop (reference)": ("train.ops=reference",),
            f"{ours}, blocks compiled": ("train.compile=true",),
            f"{ours}, torch's order of attention": ("train.attention=torch",),
            f"{ours}, flash attention first": ("train.attention=flash",),
        }
    return Problem("vit_b", 32 if ON_GPU else 1, 32, 12, BERT_BASE, levers, rounds=3)


TINY = Problem(
    "tiny",
    *(8, 10, 8),
    options=(),
    variants={
        "simcrop (reference)": (),
        f"simcrop (reference){AGAIN}": (),
        "simcrop (reference), blocks compiled": ("train.compile=true",),
    },
    rounds=5,
)
PROBLEMS = [vit_b()] if ON_GPU else [vit_b(), TINY]


@pytest.mark.parametrize(
    ("problem", "name"),
    [pytest.param(problem, name, id=f"{problem.preset}-{name}") for problem in PROBLEMS for name in problem.variants],
)
def test_step(problem: Problem, name: str, measure: Callable[..., None], tmp_path: Path) -> None:
    config = configured(tmp_path, problem, name)
    torch.manual_seed(0)
    model, _ = compose.build_model(config, reports=lambda: [vocabulary(config.text_encoder.vocab_size)] * 2)
    model.to(DEVICE).train()
    if config.train.compile:
        for block in [*model.encoder.blocks, *(model.decoder.blocks if model.decoder else [])]:
            block.compile()
    learner = PreTraining(model, model, make_optimizers(model, config.train), config.train, 0, DEVICE)
    batch = made(config, problem)
    if KEPT in name:
        shape = *batch.inputs.findings.ids.shape, config.text_encoder.hidden_size
        known = torch.randn(shape, generator=Draw().generator)
        batch = replace(batch, inputs=replace(batch.inputs, findings_features=known.half()))

    def step() -> object:
        return train_step(learner, [batch], step=1, communicator=SingleProcess())

    with FlopCounterMode(display=False) as counter:
        uncompiled = replace(learner, settings=replace(config.train, compile=False))
        train_step(uncompiled, [batch], step=1, communicator=SingleProcess())
    flops = float(counter.get_total_flops())
    text = ", a frozen BERT-base" if problem.options else ""
    measure(
        f"training step, {problem.preset}{text}, {problem.studies} {'study' if problem.studies == 1 else 'studies'}",
        name,
        step,
        flops=flops,
        num_bytes=0.0,
        rounds=problem.rounds,
    )


def configured(folder: Path, problem: Problem, name: str) -> RunConfig:
    path = folder / "run.yaml"
    path.write_text(f"name: step\nmodel: {{preset: {problem.preset}}}\n", encoding="utf-8")
    return load_config(path, [f"train.device={DEVICE.type}", *problem.options, *problem.variants[name]])


def vocabulary(size: int) -> str:
    """So many words that a tokenizer learns as many tokens."""
    letters = random.Random(0)
    return " ".join("".join(letters.choices(string.ascii_lowercase, k=6)) for _ in range(size))


def made(config: RunConfig, problem: Problem) -> PreparedBatch:
    """Random volumes, and reports of as many sentences as real ones have."""
    draw, recipe, studies = Draw(), config.model, problem.studies
    masks = [draw_patch_mask(recipe.num_patches, recipe.mask_ratio, Draw(b).generator) for b in range(studies)]
    ids_keep, ids_masked = (torch.stack(ids) for ids in zip(*masks, strict=True))
    length = problem.sentences * problem.words + 2
    ids = draw.whole(20, studies, length, low=5)
    places = torch.arange(length)
    is_word = ((places > 0) & (places < length - 1)).expand(studies, -1)
    everywhere = torch.ones_like(is_word)
    return PreparedBatch(
        volume=draw.volume(studies, 1, *recipe.volume_size, dtype=torch.int16),
        augmentations=(Augmentation((0, 0, 0), recipe.volume_size, recipe.volume_size),) * studies,
        inputs=Inputs(
            ids_keep=ids_keep,
            ids_masked=ids_masked,
            findings=Tokens(ids, everywhere, torch.where(is_word, (places - 1) // problem.words, -1)),
            sentence_mask=torch.ones(studies, problem.sentences, dtype=torch.bool),
            sentence_keys=draw.whole(2**40, studies, problem.sentences, low=1),
            report=MaskedReport(ids, ids, everywhere, is_word & (places % 2 == 1)),
            study_keys=torch.arange(studies),
            study_ids=tuple(str(b) for b in range(studies)),
        ),
    )
