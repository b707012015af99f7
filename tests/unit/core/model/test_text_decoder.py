"""The text decoder (docs/method.md, section 5, items 5 and 6)."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from support.small_models import MODEL, VOCABULARY

from simcrop.core.model.text_decoder import TextDecoder


def make_decoder() -> TextDecoder:
    torch.manual_seed(0)
    return TextDecoder(replace(MODEL, text_decoder_depth=2), VOCABULARY)


def test_only_the_wanted_words_are_answered_in_their_order() -> None:
    decoder, words = make_decoder(), torch.randn(2, 5, 8)
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    wanted = torch.tensor([[False, True, False, True, False], [True, False, False, False, False]])
    x = words
    for layer in decoder.layers:
        x = layer(x, mask)
    everything = decoder.head(F.layer_norm(F.gelu(decoder.dense(x)), (8,), eps=1e-12))
    expected = torch.stack([everything[0, 1], everything[0, 3], everything[1, 0]])
    answers = decoder(words, mask, wanted)
    assert answers.shape == (3, VOCABULARY)
    torch.testing.assert_close(answers, expected)
    assert len(decoder.layers) == 2


def test_no_wanted_word_gives_no_answer_still_connected() -> None:
    decoder, words = make_decoder(), torch.randn(1, 3, 8)
    answers = decoder(words, torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, 3, dtype=torch.bool))
    assert answers.shape == (0, VOCABULARY)
    answers.sum().backward()
    assert decoder.layers[0].get_parameter("feed.weight").grad is not None


def test_the_vocabulary_head_is_not_tied_to_an_embedding() -> None:
    names = dict(make_decoder().named_parameters())
    assert names["head.weight"].shape == (VOCABULARY, 8)
    assert not any("embed" in name for name in names)
