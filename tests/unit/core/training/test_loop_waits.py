"""A step asks the device for numbers once: for those of its row."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.configurations import load
from support.small_models import MODEL, VOCABULARY, make_batch
from support.watching import Watch
from transformers import BertConfig, BertModel

from simcrop.adapters.text.encoder import HFTextEncoder
from simcrop.core.data.augment import Augmentation
from simcrop.core.data.batch import PreparedBatch
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ports import SingleProcess, summed
from simcrop.core.recipe import TextEncoderRecipe
from simcrop.core.reference import REFERENCE
from simcrop.core.training.learner import PreTraining
from simcrop.core.training.loop import train_step
from simcrop.core.training.optimization import make_optimizers

ALONE = SingleProcess()
WIDTH = 8


def make_learner(folder: Path, recipe: str, text: TextEncoderRecipe, watch: Watch) -> PreTraining:
    """All objectives on, of a small size."""
    weights = "objectives: {alignment: {top_k: 3}, late_interaction: {weight: 1.0, top_k: 2}}"
    config = load(folder, f"recipe: {recipe}\n{weights}\n")
    assert len(config.objectives.active) == 4
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 2 * WIDTH}
    bert = HFTextEncoder(BertModel(BertConfig(vocab_size=VOCABULARY, **sizes), add_pooling_layer=False))
    text = replace(text, dropout_active=config.text_encoder.dropout_active)
    model = SimCroP(
        MODEL, config.objectives, text, text_encoder=bert, vocab_size=VOCABULARY, ops=watch.blind(REFERENCE)
    ).train()
    return PreTraining(model, model, make_optimizers(model, config.train), config.train, 0, torch.device("cpu"))


def made(*, known: bool) -> PreparedBatch:
    """Texts of unequal length; `known` has what a frozen encoder made of the findings."""
    batch, size = make_batch([3, 1]), MODEL.volume_size
    features = torch.randn(*batch.inputs.findings.ids.shape, WIDTH).half() if known else None
    inputs = replace(batch.inputs, findings_features=features)
    return PreparedBatch(batch.volume, (Augmentation((0, 0, 0), size, size),) * len(batch), inputs)


@pytest.mark.parametrize("recipe", ["improved", "paper"])
@pytest.mark.parametrize("context", ["sentence", "report"])
@pytest.mark.parametrize("reader", ["trained", "frozen", "findings known"])
def test_a_step_waits_for_the_device_once(tmp_path: Path, recipe: str, context: str, reader: str) -> None:
    watch = Watch()
    text = TextEncoderRecipe(context=context, frozen=reader != "trained")  # type: ignore[arg-type]
    learner = make_learner(tmp_path, recipe, text, watch)
    batches = [made(known=reader == "findings known")] * 2
    totals = summed(ALONE, learner.counts(batches, ALONE))
    train_step(learner, batches, step=1, communicator=ALONE, totals=totals)
    with watch.watching(learner.optimizers):
        train_step(learner, batches, step=2, communicator=ALONE, totals=totals)
    assert [(name, where.split(":")[0]) for name, where in watch.waits] == [("tolist", "training/loop.py")]
    assert set(watch.waits.values()) == {1}
    assert sum(watch.launches.values()) > 500


@pytest.mark.parametrize("reader", ["trained", "frozen"])
def test_so_does_one_whose_micro_batches_are_compared_together(tmp_path: Path, reader: str) -> None:
    watch = Watch()
    learner = make_learner(tmp_path, "improved", TextEncoderRecipe(frozen=reader != "trained"), watch)
    learner = replace(learner, settings=replace(learner.settings, contrast="step"))
    batches = [made(known=False)] * 3
    totals = summed(ALONE, learner.counts(batches, ALONE))
    train_step(learner, batches, step=1, communicator=ALONE, totals=totals)
    with watch.watching(learner.optimizers):
        train_step(learner, batches, step=2, communicator=ALONE, totals=totals)
    assert [(name, where.split(":")[0]) for name, where in watch.waits] == [("tolist", "training/loop.py")]


def test_every_kind_of_question_is_counted() -> None:
    watch, values = Watch(), torch.arange(4.0)
    questions = [
        values.tolist,
        lambda: values.sum().item(),
        lambda: bool(values.any()),
        values.nonzero,
        lambda: values[values > 1],
        lambda: values.masked_select(values > 1),
        lambda: torch.equal(values, values),
        values.cpu,
        lambda: torch.tensor([1, 2], device=values.device),
        lambda: torch.zeros(4).index_put_((values > 1,), torch.zeros(())),
    ]
    with watch.watching():
        for number, ask in enumerate(questions, 1):
            ask()
            assert sum(watch.waits.values()) == number, f"question {number}"
        values[torch.tensor([1, 2])].index_select(0, torch.tensor([0])).sum()
    assert sum(watch.waits.values()) == len(questions)
