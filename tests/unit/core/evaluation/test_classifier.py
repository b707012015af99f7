"""A head on an encoder: what it computes, what of it is trained, and how fast each layer is."""

import pytest
import torch
from torch.nn import functional

from simcrop.core.evaluation.classifier import (
    Classifier,
    classification_loss,
    layer_scale,
    probabilities,
)
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.recipe import ModelRecipe
from simcrop.core.reference import REFERENCE
from simcrop.core.training.progress import trained_weights

RECIPE = ModelRecipe(volume_size=(8, 8, 8), patch_size=(4, 4, 4), embed_dim=12, depth=3, num_heads=2)


@pytest.fixture
def encoder() -> VisionEncoder:
    torch.manual_seed(0)
    return VisionEncoder(RECIPE, REFERENCE)


def test_logits_are_the_published_formula(encoder: VisionEncoder) -> None:
    classifier = Classifier(encoder, 3, frozen=True)
    volume = torch.randint(-1000, 1000, (2, 1, 8, 8, 8), dtype=torch.int16)
    tokens = encoder.encode(volume, normalized=False)[:, 1:].mean(1)
    centred = tokens - tokens.mean(1, keepdim=True)
    normed = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(classifier(volume), normed @ classifier.head.weight.T)
    assert classifier.head.bias.abs().max() == 0
    big = Classifier(encoder, 4000, frozen=True)
    assert big.head.weight.std().item() == pytest.approx(2e-5, rel=0.02)


def test_frozen_trains_the_linear_layer_alone(encoder: VisionEncoder) -> None:
    classifier = Classifier(encoder, 3, frozen=True)
    logits = classifier(torch.zeros(1, 1, 8, 8, 8))
    logits.sum().backward()
    with_gradient = {name for name, parameter in classifier.named_parameters() if parameter.grad is not None}
    assert with_gradient == {"head.weight", "head.bias"} == set(trained_weights(classifier))


def test_otherwise_all_is_trained_but_the_norm_that_is_not_used(encoder: VisionEncoder) -> None:
    classifier = Classifier(encoder, 3, frozen=False)
    torch.nn.init.normal_(classifier.head.weight)
    classifier(torch.randn(1, 1, 8, 8, 8) * 500).square().sum().backward()
    without = {name for name, parameter in classifier.named_parameters() if parameter.grad is None}
    assert without == {"encoder.norm.weight", "encoder.norm.bias"}
    assert not without & set(trained_weights(classifier))


def test_rates_shrink_from_the_head_down(encoder: VisionEncoder) -> None:
    classifier = Classifier(encoder, 3, frozen=False)
    scales = {name: layer_scale(name, depth=3, layer_decay=0.5) for name in trained_weights(classifier)}
    assert scales["head.weight"] == scales["fc_norm.weight"] == 1.0
    assert scales["encoder.blocks.2.mlp.fc1.weight"] == 0.5
    assert scales["encoder.blocks.0.attn.qkv.weight"] == 0.125
    assert scales["encoder.patch_embed.proj.weight"] == scales["encoder.cls_token"] == 0.0625
    assert {layer_scale(name, depth=3, layer_decay=1.0) for name in scales} == {1.0}


def test_losses_and_probabilities_of_findings_and_classes() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.3, -2.0]])
    truth = torch.tensor([[True, False, False], [False, True, False]])
    expected = functional.binary_cross_entropy(logits.sigmoid(), truth.float())
    torch.testing.assert_close(classification_loss(logits, truth, exclusive=False), expected)
    picked = logits.log_softmax(1)[truth]
    torch.testing.assert_close(classification_loss(logits, truth, exclusive=True), -picked.mean())
    assert probabilities(logits, exclusive=True).sum(1).tolist() == pytest.approx([1, 1])
    torch.testing.assert_close(probabilities(logits, exclusive=False), logits.double().sigmoid())
