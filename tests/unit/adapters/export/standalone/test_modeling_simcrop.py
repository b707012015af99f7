"""The model of the transformers export, whose weights a folder of `test_transformers_folder.py` holds."""

import pytest
import torch
from transformers import BertConfig

from simcrop.adapters.export.standalone.configuration_simcrop import SimcropConfig
from simcrop.adapters.export.standalone.modeling_simcrop import SimcropModel

SIZES = {
    "volume_size": (8, 8, 4),
    "patch_size": (4, 4, 2),
    "hidden_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "projection_dim": 8,
}
TEXT = BertConfig(
    vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, pad_token_id=0
)
VOLUME = torch.randint(-1000, 1000, (2, 1, 8, 8, 4), generator=torch.Generator().manual_seed(0)).float()
IDS = torch.tensor([[2, 7, 8, 9, 3], [2, 7, 3, 0, 0]])


def make(**changes: object) -> SimcropModel:
    torch.manual_seed(0)
    return SimcropModel(SimcropConfig(**(SIZES | {"text_config": TEXT} | changes))).eval()  # pyright: ignore[reportArgumentType]


@torch.no_grad()
def test_outputs_are_what_they_are_called() -> None:
    model = make()
    output = model(VOLUME, input_ids=IDS, attention_mask=IDS != 0)
    assert torch.equal(output.last_hidden_state, model.encoder(VOLUME))
    unnormed = model.encoder.encode(VOLUME, normalized=False)
    assert torch.equal(output.pooler_output, unnormed[:, 1:].mean(1))
    text = model.get_text_features(IDS, IDS != 0)
    assert torch.equal(output.logits_per_image, model.scores(text, model.get_image_features(VOLUME)))
    assert model(VOLUME).keys() == {"last_hidden_state", "pooler_output"}
    assert isinstance(model(VOLUME, return_dict=False), tuple)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("local", [None, (2, 2, 2)])
@torch.no_grad()
def test_padding_changes_nothing(apart: bool, local: tuple[int, int, int] | None) -> None:
    model = make(reads_sentences_apart=apart, local_patch_size=local)
    padded = model.get_text_features(IDS, (IDS != 0).long())
    torch.testing.assert_close(padded[1:], model.get_text_features(IDS[1:, :3]))
    left = torch.tensor([[0, 0, 2, 7, 3]])
    torch.testing.assert_close(model.get_text_features(left, left != 0), padded[1:])
    assert (padded[0] - padded[1]).abs().max() > 1e-3


@torch.no_grad()
def test_a_sentence_that_is_read_apart_does_not_see_what_begins_and_ends_a_text() -> None:
    other = torch.tensor([[5, 7, 8, 9, 6]])
    for apart in (True, False):
        model = make(reads_sentences_apart=apart)
        same = torch.allclose(model.get_text_features(IDS[:1]), model.get_text_features(other), atol=1e-6)
        assert same is apart


@torch.no_grad()
def test_scores_keep_their_precision_under_autocast() -> None:
    model = make()
    text, patches = model.get_text_features(IDS), model.get_image_features(VOLUME)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.scores(text, patches)
    assert torch.equal(found, model.scores(text, patches))


@torch.no_grad()
def test_air_is_nowhere_unless_it_may_be() -> None:
    air = torch.full((1, 1, 8, 8, 4), -1000.0)
    for local in (None, (2, 2, 2)):
        assert not make(local_patch_size=local).get_image_features(air).any()
        assert make(local_patch_size=local, ignore_air=False).get_image_features(air).any()


def test_an_image_side_alone_says_so() -> None:
    model = make(text_config=None)
    message = "this model has an image side alone: it was not trained to compare sentences with patches"
    with pytest.raises(ValueError, match=message):
        model.get_text_features(IDS)
    with pytest.raises(ValueError, match=message):
        model.get_image_features(VOLUME)


@torch.no_grad()
def test_a_model_that_reads_no_separator_does_not_see_the_one_that_a_tokenizer_writes() -> None:
    other = torch.tensor([[2, 7, 8, 9, 6]])
    for reads_it in (True, False):
        model = make(reads_sentences_apart=False, reads_separator=reads_it)
        same = torch.allclose(model.get_text_features(IDS[:1]), model.get_text_features(other), atol=1e-6)
        assert same is not reads_it
