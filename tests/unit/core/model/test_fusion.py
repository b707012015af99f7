"""The fusion layer: words read words, patches and the whole scan (docs/method.md, section 5, items 2 to 6)."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from support.small_models import MODEL, VOCABULARY
from torch import Tensor, nn

from simcrop.core.model.fusion import (
    CrossAttention,
    FusionLayer,
    PostNormLayer,
    ProjectionHead,
    TextDecoder,
    padded_linear,
)
from simcrop.core.recipe import ModelRecipe

DIM, IMAGE, HEADS, HIDDEN = 8, 12, 2, 10
RECIPE = ModelRecipe(embed_dim=IMAGE, projection_dim=DIM, fusion_heads=HEADS, fusion_mlp_dim=HIDDEN)


def attention(layer: CrossAttention, queries: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
    """Head by head."""
    width = DIM // HEADS
    heads = []
    for head in range(HEADS):
        part = slice(head * width, (head + 1) * width)
        q, k, v = layer.query(queries)[..., part], layer.key(memory)[..., part], layer.value(memory)[..., part]
        logits = q @ k.transpose(1, 2) / math.sqrt(width)
        logits = logits if mask is None else logits.masked_fill(~mask[:, None], -math.inf)
        heads.append(logits.softmax(2) @ v)
    return torch.cat(heads, dim=2)


def norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, (x.shape[-1],), eps=1e-12)


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    return torch.randn(2, 5, DIM), mask, torch.randn(2, 7, IMAGE)


def make_fusion(dropout: float = 0.0) -> FusionLayer:
    torch.manual_seed(0)
    return FusionLayer(replace(RECIPE, dropout=dropout))


def test_it_is_the_formula_of_the_method() -> None:
    fusion, (words, mask, patches) = make_fusion(), inputs()
    image = fusion.image(patches)
    instance = fusion.instance(image.mean(1))
    layer = fusion.layer
    x = norm(words + layer.after_attention.dense(attention(layer.attention, words, words, mask)))
    x = norm(x + fusion.after_cross.dense(attention(fusion.cross, x, image) + instance[:, None]))
    expected = norm(x + layer.after_feed.dense(F.gelu(layer.feed(x))))
    torch.testing.assert_close(fusion(words, mask, patches), expected)


def test_what_stands_before_the_patches_is_read_and_is_no_part_of_the_whole_scan() -> None:
    fusion, (words, mask, patches) = make_fusion(), inputs()
    extra = torch.randn(2, 1, DIM)
    image = fusion.image(patches)
    layer = fusion.layer
    x = norm(words + layer.after_attention.dense(attention(layer.attention, words, words, mask)))
    read = attention(fusion.cross, x, torch.cat([extra, image], dim=1)) + fusion.instance(image.mean(1))[:, None]
    x = norm(x + fusion.after_cross.dense(read))
    expected = norm(x + layer.after_feed.dense(F.gelu(layer.feed(x))))
    torch.testing.assert_close(fusion(words, mask, patches, extra), expected)


def test_attention_probabilities_are_dropped_in_training_alone() -> None:
    torch.manual_seed(0)
    fusion, (words, mask, patches) = FusionLayer(replace(RECIPE, attention_dropout=0.5)), inputs()
    assert not torch.equal(fusion(words, mask, patches), fusion(words, mask, patches))
    fusion.eval()
    torch.testing.assert_close(fusion(words, mask, patches), make_fusion()(words, mask, patches))


def test_padding_is_not_read_by_words() -> None:
    fusion, (words, mask, patches) = make_fusion(), inputs()
    changed = words.clone()
    changed[~mask] += 5
    torch.testing.assert_close(fusion(changed, mask, patches)[mask], fusion(words, mask, patches)[mask])


def test_the_whole_scan_reaches_every_word_and_so_does_each_patch() -> None:
    fusion, (words, mask, patches) = make_fusion(), inputs()
    before = fusion(words, mask, patches)
    nn.init.zeros_(fusion.instance.weight)
    assert ((fusion(words, mask, patches) - before).abs().amax(2) > 1e-4).all()
    patches.requires_grad_()
    fusion(words, mask, patches)[:, 0, 0].sum().backward()
    assert patches.grad is not None
    assert patches.grad.any(2).all()


def test_the_order_of_patches_does_not_matter() -> None:
    fusion, (words, mask, patches) = make_fusion(), inputs()
    torch.testing.assert_close(fusion(words, mask, patches.flip(1)), fusion(words, mask, patches))


def test_dropout_acts_in_training_only() -> None:
    fusion, (words, mask, patches) = make_fusion(0.5), inputs()
    assert not torch.allclose(fusion(words, mask, patches), fusion(words, mask, patches))
    fusion.eval()
    torch.testing.assert_close(fusion(words, mask, patches), make_fusion()(words, mask, patches))


def test_a_post_norm_layer_is_a_bert_layer() -> None:
    torch.manual_seed(0)
    layer, (words, mask, _) = PostNormLayer(RECIPE), inputs()
    x = norm(words + layer.after_attention.dense(attention(layer.attention, words, words, mask)))
    torch.testing.assert_close(layer(words, mask), norm(x + layer.after_feed.dense(F.gelu(layer.feed(x)))))


def test_a_head_is_linear_gelu_norm_linear() -> None:
    head, x = ProjectionHead(IMAGE, DIM), torch.randn(2, 3, IMAGE)
    torch.testing.assert_close(head(x), head.out(norm(F.gelu(head.dense(x)))))
    assert head.norm.eps == 1e-12


def make_decoder() -> TextDecoder:
    torch.manual_seed(0)
    return TextDecoder(replace(MODEL, text_decoder_depth=2), VOCABULARY)


def test_only_the_wanted_words_are_answered_in_their_order() -> None:
    decoder, words = make_decoder(), torch.randn(2, 5, 8)
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    wanted = torch.tensor([1, 3, 5])
    x = words
    for layer in decoder.layers:
        x = layer(x, mask)
    everything = decoder.head(F.layer_norm(F.gelu(decoder.dense(x)), (8,), eps=1e-12))
    expected = torch.stack([everything[0, 1], everything[0, 3], everything[1, 0]])
    answers = decoder(words, mask, wanted)
    assert answers.shape == (3, VOCABULARY)
    torch.testing.assert_close(answers, expected)
    torch.testing.assert_close(decoder(words, mask, None), everything.flatten(0, 1))
    assert len(decoder.layers) == 2


def test_no_wanted_word_gives_no_answer_still_connected() -> None:
    decoder, words = make_decoder(), torch.randn(1, 3, 8)
    answers = decoder(words, torch.ones(1, 3, dtype=torch.bool), torch.zeros(0, dtype=torch.int64))
    assert answers.shape == (0, VOCABULARY)
    answers.sum().backward()
    assert decoder.layers[0].get_parameter("feed.weight").grad is not None


def test_the_vocabulary_head_is_not_tied_to_an_embedding() -> None:
    names = dict(make_decoder().named_parameters())
    assert names["head.weight"].shape == (VOCABULARY, 8)
    assert not any("embed" in name for name in names)


@pytest.mark.parametrize("multiple", [1, 5, 8])
def test_outputs_beside_those_of_a_layer_change_nothing(multiple: int) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(4, 10).double(), torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(3, 10, dtype=torch.float64)
    results = [linear(x), padded_linear(linear, x, multiple=multiple)]
    gradients = [torch.autograd.grad(result, [x, *linear.parameters()], upstream) for result in results]
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(gradients[1], gradients[0])
