"""The `paper` recipe against small cases worked out by hand from docs/method.md, with its quirks.

The volume is 2x2x4 voxels, a patch 1x2x2: a grid of 2x1x2, four patches of four values.
"""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.tiny import MODEL as TINY
from support.tiny import TEXT, VOCABULARY, WordEncoder, make_batch
from torch import Tensor

from simcrop.core.data.augment import Augmenter
from simcrop.core.model.masking import mask_report_tokens
from simcrop.core.model.patches import patchify
from simcrop.core.model.positions import position_table
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.objectives.alignment import alignment_loss, selected_means
from simcrop.core.objectives.losses import Counts
from simcrop.core.objectives.objective import Sentences
from simcrop.core.objectives.reconstruction import reconstruction_share
from simcrop.core.objectives.report import wanted_tokens
from simcrop.core.ports import SingleProcess
from simcrop.core.randomness import generator
from simcrop.core.recipe import (
    PAPER,
    AlignmentRecipe,
    AugmentRecipe,
    LateInteractionRecipe,
    ModelRecipe,
    ObjectivesRecipe,
    ReconstructionRecipe,
    ReportRecipe,
    TrainRecipe,
)
from simcrop.core.reference import REFERENCE, masked_patch_embed, masked_patch_mse, sentence_patch_topk
from simcrop.core.training.optimization import lr_at, make_optimizers, parameter_groups

KEYS: dict[str, Any] = PAPER["objectives"]
OBJECTIVES = ObjectivesRecipe(
    ReconstructionRecipe(**KEYS["reconstruction"]),
    ReportRecipe(**KEYS["report"]),
    AlignmentRecipe(**KEYS["alignment"], top_k=2),
    LateInteractionRecipe(**KEYS["late_interaction"]),
)
PATCH, WINDOW = (1, 2, 2), (-1000.0, 1000.0)
VOLUME = torch.arange(16, dtype=torch.int16).reshape(1, 1, 2, 2, 4) * 100
"""Voxel (h, w, d) holds 100 * (8 h + 4 w + d) HU."""


def test_patch_order() -> None:
    assert (patchify(VOLUME, PATCH) // 100).tolist() == [[[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]]


def test_position_table() -> None:
    # E = 4: omega = 1, 0.01; h is 0, 0, 1, 1, and w is always 0; d, which is 0, 1, 0, 1, leaves no trace.
    table = position_table(PAPER["model"]["position_embedding"], (2, 1, 2), 4)
    first, second = [0.0, 1.0, 0.0, 1.0], [math.sin(1.0), 1.0, math.sin(0.01), 1.0]
    expected = torch.tensor([[[0.0] * 4, first, first, second, second]])
    torch.testing.assert_close(table, expected)


def test_embedding() -> None:
    # The one output channel weighs the values of a patch 1, 10, 100, 1000; HU / 1000, clipped at 1.
    weight = torch.tensor([1.0, 10.0, 100.0, 1000.0]).reshape(1, 1, *PATCH)
    positions = torch.tensor([[0.0], [0.25], [0.5], [0.75]])
    tokens = masked_patch_embed(
        VOLUME, weight, torch.tensor([7.0]), positions, torch.tensor([[2, 1]]), patch_size=PATCH, window=WINDOW
    )
    patch_2 = 0.8 + 9.0 + 100.0 + 1000.0 + 7.0 + 0.5
    patch_1 = 0.2 + 3.0 + 60.0 + 700.0 + 7.0 + 0.25
    torch.testing.assert_close(tokens, torch.tensor([[[patch_2], [patch_1]]]))


def test_reconstruction_of_raw_voxels_over_all_of_them() -> None:
    assert (OBJECTIVES.reconstruction.target, OBJECTIVES.reconstruction.loss) == ("raw", "all")
    pred, masked = torch.zeros(1, 3, 4), torch.tensor([[0, 1, 3]])
    error = masked_patch_mse(pred, VOLUME, masked, patch_size=PATCH, window=WINDOW)
    inputs = replace(make_batch([1]).inputs, ids_keep=torch.tensor([[2]]), ids_masked=masked)
    loss = reconstruction_share(error, inputs, "all", num_masked=3, communicator=SingleProcess())
    squares = [0, 1, 16, 25, 4, 9, 36, 49, 100, 100, 100, 100]  # of HU / 100; 1100 HU and more are clipped to 1000
    assert loss.item() == pytest.approx(sum(squares) / 100 / 16)


def paper_alignment(sentences: Tensor, patches: Tensor, mask: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    aligned = sentence_patch_topk(sentences, patches, k=2).aligned
    recipe = replace(OBJECTIVES.alignment, temperature=temperature)
    keys = torch.zeros(mask.shape, dtype=torch.int64)  # all texts the same: the paper does not look
    group = Sentences(sentences, mask, keys, torch.zeros(len(mask), dtype=torch.int64))
    loss = alignment_loss(group, aligned, recipe, num_sentences=int(mask.sum()), communicator=SingleProcess())
    return aligned, loss


def test_padding_stays_in_the_denominators_as_the_first_patches() -> None:
    patches = torch.tensor([[[0.0, 4.0], [4.0, 0.0], [2.0, 0.0], [0.0, -1.0]]])
    sentences = torch.tensor([[[5.0, 0.0], [0.0, 0.0]]])
    aligned, loss = paper_alignment(sentences, patches, torch.tensor([[True, False]]), temperature=0.5)
    # The sentence takes patches 1 and 2; padding, similar to none, takes 0 and 1.
    assert aligned.tolist() == [[[3.0, 0.0], [2.0, 2.0]]]
    # s to a: cosine 1 with its own, sqrt(1/2) with a_pad. a to s: 1 with its own, 0 with s_pad.
    to_aligned = math.log(math.exp(2) + math.exp(2 * math.sqrt(0.5))) - 2
    to_sentence = math.log(math.exp(2) + 1) - 2
    assert loss.item() == pytest.approx(to_aligned + to_sentence, rel=1e-6)


def test_padding_of_a_step_takes_drawn_patches() -> None:
    assert OBJECTIVES.alignment.padding_patches == "drawn"
    patches = torch.tensor([[[0.0, 4.0], [4.0, 0.0], [2.0, 0.0], [0.0, -1.0]]])
    sentences = Sentences(
        torch.tensor([[[5.0, 0.0], [0.0, 0.0]]]),
        torch.tensor([[True, False]]),
        torch.zeros(1, 2, dtype=torch.int64),
        torch.zeros(1, dtype=torch.int64),
    )
    aligned = selected_means(
        patches, sentences, OBJECTIVES.alignment, ops=REFERENCE, padding_patches=torch.tensor([[3, 0]])
    )
    assert aligned.tolist() == [[[3.0, 0.0], [0.0, 1.5]]]


def test_a_training_box_is_cut_and_never_resampled() -> None:
    augment = AugmentRecipe(**PAPER["data"]["augment"])
    augmenter = Augmenter(augment, ModelRecipe(volume_size=(22, 22, 11), patch_size=(11, 11, 11)), seed=0)
    boxes = [augmenter.draw((24, 24, 12), study) for study in range(300)]
    assert {box.fit for box in boxes} == {"mirror"}
    # 0.8 to 1 of 24 voxels are 20 to 24, of which a box of 22 is whole in 3 of 5 cases; of 12 voxels 10 to 12, 2 of 3.
    is_mirrored = [box.size != (22, 22, 11) for box in boxes]
    assert sum(is_mirrored) / len(boxes) == pytest.approx(1 - 0.6 * 0.6 * 2 / 3, abs=0.1)
    assert all(20 <= box.size[0] <= 22 and 10 <= box.size[2] <= 11 for box in boxes)


def test_rate_decay_bias_and_number_of_visible_patches() -> None:
    train = TrainRecipe(steps=100, warmup_steps=10, lr=1.0, **PAPER["train"])
    assert [lr_at(step, train) for step in (1, 2, 11)] == [0.0, 0.1, 1.0]
    model = SimCroP(
        replace(TINY, **PAPER["model"]), OBJECTIVES, TEXT, text_encoder=WordEncoder(), vocab_size=9, ops=REFERENCE
    )
    decays = {
        name: group["weight_decay"]
        for group in parameter_groups(make_optimizers(model, train))
        for name in group["param_names"]
    }
    assert decays["encoder.cls_token"] == decays["decoder.mask_token"] == 0.05
    bias, values = model.encoder.patch_embed.proj.bias, TINY.patch_values
    assert bias is not None
    assert 0.5 * values**-0.5 < bias.abs().max() <= values**-0.5
    paper = ModelRecipe(volume_size=(49, 49, 49), patch_size=(7, 7, 7), **PAPER["model"])
    assert paper.num_visible == 85


def test_negatives_are_the_other_sentences_of_the_report_repeats_included() -> None:
    patches = torch.tensor([[[1.0, 0.0], [3.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    sentences = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 2.0]]])
    _, loss = paper_alignment(sentences, patches, torch.ones(2, 2, dtype=torch.bool), temperature=1.0)
    # In each report both cosines are 1, whatever the other report says: log 2 in each direction.
    assert loss.item() == pytest.approx(2 * math.log(2), rel=1e-6)


def test_report_masks_any_position_and_answers_all() -> None:
    ids = torch.tensor([1, 20, 21, 2, 0, 0])
    is_real = torch.tensor([False, True, True, False, False, False])
    recipe = replace(OBJECTIVES.report, mask_ratio=1.0)
    inputs, masked = mask_report_tokens(ids, is_real=is_real, mask_id=3, recipe=recipe, generator=generator(0))
    assert inputs.tolist() == [1, 3, 3, 2, 3, 0]
    report = replace(make_batch([1]).inputs.report, masked=masked[None])
    assert wanted_tokens(report, OBJECTIVES.report).tolist() == [[True] * 6]


def test_a_step_of_the_whole_model() -> None:
    torch.manual_seed(0)
    text = replace(TEXT, frozen=True, **PAPER["text_encoder"])
    model = SimCroP(
        replace(TINY, **PAPER["model"]),
        OBJECTIVES,
        text,
        text_encoder=WordEncoder(),
        vocab_size=VOCABULARY,
        ops=REFERENCE,
    ).train()
    assert model.text_encoder is not None
    assert model.text_encoder.training
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    batch = make_batch([3, 1, 0]).augmented()
    counts = Counts.of([batch], OBJECTIVES)
    totals = []
    for _ in range(30):
        terms = model(batch, counts, SingleProcess())
        assert list(terms) == ["reconstruction", "report", "alignment"]
        optimizer.zero_grad()
        model.total(terms).backward()
        optimizer.step()
        totals.append({name: value.item() for name, value in terms.items()})
    for name, value in totals[-1].items():
        assert value < 0.9 * totals[0][name], name
