"""SimCroP: which parts there are, what they are named, what they answer outside training."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from support.small_models import (
    FROZEN,
    MODEL,
    OBJECTIVES,
    TRAINED,
    make_batch,
    make_model,
    only,
    terms_of,
)
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.core.model.patches import patchify, unpatchify
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.recipe import TERMS, ReportRecipe


def gradients(model: SimCroP) -> dict[str, Tensor | None]:
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def test_terms_come_in_order_and_total_is_weighted() -> None:
    objectives = replace(OBJECTIVES, report=ReportRecipe(weight=0.5))
    model = make_model(objectives)
    terms = terms_of(model, make_batch([2, 1]))
    assert tuple(terms) == TERMS
    expected = sum(value * (0.5 if name == "report" else 1.0) for name, value in terms.items())
    torch.testing.assert_close(model.total(terms), expected)
    assert all(value.ndim == 0 and value > 0 for value in terms.values())


@pytest.mark.parametrize(
    ("term", "absent"),
    [
        ("reconstruction", ("text_encoder.", "image_head.", "text_head.", "fusion.", "text_decoder.", "report_head.")),
        ("report", ("decoder.", "image_head.", "text_head.", "late_interaction.")),
        ("alignment", ("decoder.", "fusion.", "text_decoder.", "report_head.", "late_interaction.")),
        ("late_interaction", ("decoder.", "fusion.", "text_decoder.", "report_head.")),
    ],
)
def test_weight_0_leaves_the_parts_and_the_term_out(term: str, absent: tuple[str, ...]) -> None:
    model = make_model(only(term), text=TRAINED)
    names = list(model.state_dict())
    assert not [name for name in names if name.startswith(absent)]
    assert any(name.startswith("encoder.") for name in names)
    terms = terms_of(model, make_batch([2, 1]))
    assert tuple(terms) == (term,)
    model.total(terms).backward()
    unused = [name for name, gradient in gradients(model).items() if gradient is None]
    assert not unused


def test_the_encoder_keeps_timms_names_under_its_prefix() -> None:
    names = {name.removeprefix("encoder.") for name in make_model().state_dict() if name.startswith("encoder.")}
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.1.attn.qkv.bias", "norm.weight"} <= names
    assert len(names) == 6 + 2 * 12


@pytest.mark.parametrize("context", ["sentence", "report"])
def test_a_sentence_is_the_mean_of_its_tokens_after_the_head(context: Literal["sentence", "report"]) -> None:
    model, batch = make_model(text=replace(FROZEN, context=context)).eval(), make_batch([2])
    assert model.text_encoder is not None
    assert model.text_head is not None
    findings = batch.inputs.findings
    owners = findings.sentence_of_token if context == "sentence" else None
    tokens = model.text_head(model.text_encoder(findings.ids, findings.mask, owners))[0]
    features = model.sentence_features(batch.inputs.findings, 2)
    torch.testing.assert_close(features[0], torch.stack([tokens[1:4].mean(0), tokens[4:7].mean(0)]))


def test_other_sentences_change_a_sentence_only_where_the_report_is_its_context() -> None:
    findings = make_batch([2]).inputs.findings
    ids = findings.ids.clone()
    ids[findings.sentence_of_token == 1] = 5
    for context, same in (("sentence", True), ("report", False)):
        model = make_model(text=replace(FROZEN, context=context)).eval()  # type: ignore[arg-type]
        before, after = (model.sentence_features(replace(findings, ids=words), 2)[0] for words in (findings.ids, ids))
        assert torch.equal(before[0], after[0]) is same
        assert not torch.equal(before[1], after[1])


def test_a_frozen_text_encoder_stays_as_it_is() -> None:
    model, batch = make_model(), make_batch([2, 1])
    assert model.text_encoder is not None
    assert model.training
    assert not model.text_encoder.training
    model.total(terms_of(model, batch)).backward()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name in model.state_dict() if name.startswith("text_encoder.")}
    assert all((gradient is None) == (name in frozen) for name, gradient in gradients(model).items())
    torch.testing.assert_close(terms_of(model, batch), terms_of(model, batch), rtol=0, atol=0)


def test_the_papers_frozen_text_encoder_keeps_its_dropout() -> None:
    model, batch = make_model(text=replace(FROZEN, dropout_active=True)), make_batch([2, 1])
    assert model.text_encoder is not None
    assert model.text_encoder.training
    assert not torch.equal(terms_of(model, batch)["alignment"], terms_of(model, batch)["alignment"])
    assert not any(parameter.requires_grad for parameter in model.text_encoder.parameters())
    assert not model.eval().text_encoder.training  # type: ignore[union-attr]


def test_a_text_encoder_from_scratch_is_trained() -> None:
    model = make_model(text=TRAINED)
    assert model.text_encoder is not None
    assert model.text_encoder.training
    model.total(terms_of(model, make_batch([2, 1]))).backward()
    assert all(parameter.grad is not None for parameter in model.text_encoder.parameters())


def test_patch_features_of_the_whole_volume_are_in_patch_order() -> None:
    model, batch = make_model().eval(), make_batch([1])
    assert model.image_head is not None
    everything = model.patch_features(batch.volume)
    assert everything.shape == (1, 30, MODEL.projection_dim)
    torch.testing.assert_close(everything, model.image_head(model.encoder(batch.volume)[:, 1:]))


def test_patches_of_air_are_nowhere_and_get_no_gradient() -> None:
    model, batch = make_model().eval(), make_batch([1])
    volume = batch.volume.clone()
    air = torch.zeros(MODEL.num_patches, dtype=torch.bool)
    air[batch.inputs.ids_keep[0, 0]] = True
    rows = patchify(volume, MODEL.patch_size)
    rows[0, air] = -990
    volume = unpatchify(rows, MODEL.patch_size, MODEL.volume_size)
    features = model.patch_features(volume)
    assert (features[0].norm(dim=1) == 0).tolist() == air.tolist()
    keep = batch.inputs.ids_keep
    visible = model.contextual_features(model.encoder(volume, keep), volume, keep)
    assert (visible[0].norm(dim=1) == 0).tolist() == [True, *[False] * (batch.inputs.ids_keep.shape[1] - 1)]
    paper = make_model(model=replace(MODEL, ignore_air=False)).eval()
    assert (paper.patch_features(volume)[0].norm(dim=1) > 0).all()


def test_what_was_not_trained_cannot_be_asked_for() -> None:
    batch = make_batch([1])
    with pytest.raises(InputError, match=r"model: trained without reconstruction, so it cannot rebuild patches"):
        make_model(only("report")).reconstruct(batch.volume, batch.inputs.ids_keep, batch.inputs.ids_masked)
    model = make_model(only("reconstruction"))
    with pytest.raises(InputError, match=r"model: trained without alignment, so its patches cannot be compared"):
        model.patch_features(batch.volume)
    with pytest.raises(InputError, match=r"model: trained without alignment, so it cannot place sentences"):
        model.sentence_features(batch.inputs.findings, 1)
