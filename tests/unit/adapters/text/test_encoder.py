"""Text encoders: built from the recipe, loaded from a folder, refused with the key to change."""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.released import write_cxr_bert
from torch import Tensor

from simcrop.adapters.text.encoder import HFTextEncoder, load_text_encoder, restore_text_encoder, save_text_encoder
from simcrop.adapters.text.tokenizer import HFTokenizer
from simcrop.core.errors import CheckpointError, ConfigError, DataError
from simcrop.core.recipe import TextEncoderRecipe

REPORTS = ["The trachea is open. No nodule.", "A 9.5 mm nodule in the left lung.", "Heart size is normal."]
RECIPE = TextEncoderRecipe(hidden_size=16, depth=1, num_heads=2, vocab_size=128, max_tokens=24, dropout=0.1)


def _scratch(recipe: TextEncoderRecipe = RECIPE, seed: int = 0) -> tuple[HFTokenizer, HFTextEncoder]:
    torch.manual_seed(seed)
    return load_text_encoder(recipe, reports=lambda: REPORTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with its tokenizer, as transformers saves them."""
    path = tmp_path_factory.mktemp("bert")
    tokenizer, encoder = _scratch()
    tokenizer.save(path)
    encoder.bert.save_pretrained(path)  # type: ignore[operator]
    return path


def _tokens(batch: int = 2, length: int = 9) -> tuple[Tensor, Tensor]:
    ids = torch.randint(5, 40, (batch, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(batch, length, dtype=torch.bool)
    mask[1, 5:] = False
    return ids, mask


def test_a_sentence_read_by_itself_is_the_same_in_every_report() -> None:
    tokenizer, encoder = _scratch(replace(RECIPE, depth=2))
    encoder.eval()
    sentence, others = "No nodule.", ["The trachea is open.", "Heart size is normal."]
    alone, among = (tokenizer.encode(texts, max_tokens=24) for texts in ([sentence], [others[0], sentence, others[1]]))
    room = 2  # padding must not be taken for a sentence
    ids, owners = (
        torch.tensor([[*row, *[fill] * room]])
        for row, fill in ((among.ids, tokenizer.pad_id), (among.sentence_of_token, -1))
    )
    mask = torch.tensor([[True] * len(among.ids) + [False] * room])
    by_itself = encoder(ids, mask, owners)[0][owners[0] == 1]
    ids, owners = (torch.tensor([row]) for row in (alone.ids, alone.sentence_of_token))
    torch.testing.assert_close(
        encoder(ids, torch.ones_like(ids, dtype=torch.bool), owners)[0][owners[0] == 0], by_itself
    )
    assert torch.isfinite(encoder(ids, torch.zeros_like(ids, dtype=torch.bool), owners)).all()


def test_scratch_has_the_recipes_sizes() -> None:
    tokenizer, encoder = _scratch(replace(RECIPE, hidden_size=24, depth=2, num_heads=3))
    config = encoder.bert.config
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (24, 2, 3)
    assert (config.max_position_embeddings, config.vocab_size) == (24, tokenizer.vocab_size)
    assert encoder.hidden_size == 24
    assert not any("pooler" in name for name, _ in encoder.named_parameters())


def test_output_is_the_last_hidden_state_and_ignores_padding() -> None:
    _, encoder = _scratch()
    encoder.eval()
    ids, mask = _tokens()
    out = encoder(ids, mask)
    assert out.shape == (2, 9, 16)
    changed = ids.masked_fill(~mask, 7)
    assert torch.equal(encoder(changed, mask)[1, :5], out[1, :5])
    alone = encoder(ids[1:, :5], mask[1:, :5])
    torch.testing.assert_close(alone[0], out[1, :5], atol=1e-5, rtol=1e-5)


def test_the_same_generator_state_gives_the_same_bits_dropout_included() -> None:
    _, encoder = _scratch()
    ids, mask = _tokens()
    outs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outs.append(encoder.train()(ids, mask))
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])


def test_weights_follow_torchs_seed() -> None:
    first, again, other = (_scratch(seed=seed)[1].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_saved_tokenizer_is_not_learned_again(tmp_path: Path) -> None:
    tokenizer, _ = _scratch()
    tokenizer.save(tmp_path)
    loaded, encoder = load_text_encoder(RECIPE, folder=tmp_path)
    assert loaded.encode(REPORTS, max_tokens=24) == tokenizer.encode(REPORTS, max_tokens=24)
    assert encoder.bert.config.vocab_size == tokenizer.vocab_size


def test_a_saved_encoder_is_restored_in_its_sizes(tmp_path: Path) -> None:
    tokenizer, encoder = _scratch()
    save_text_encoder(tokenizer, encoder, tmp_path)
    restored_tokenizer, restored = restore_text_encoder(tmp_path)
    restored.load_state_dict(encoder.state_dict())
    ids, mask = _tokens()
    assert torch.equal(restored.eval()(ids, mask), encoder.eval()(ids, mask))
    assert restored_tokenizer.encode(REPORTS, max_tokens=24) == tokenizer.encode(REPORTS, max_tokens=24)
    with pytest.raises(CheckpointError, match="take another checkpoint"):
        restore_text_encoder(tmp_path / "none")


def test_scratch_needs_reports_that_hold_text() -> None:
    with pytest.raises(ConfigError, match=r"text_encoder\.source: scratch needs training reports"):
        load_text_encoder(RECIPE)
    with pytest.raises(DataError, match="hold no text"):
        load_text_encoder(RECIPE, reports=lambda: ["", "  "])


def test_a_folder_is_loaded_with_its_weights_and_its_tokenizer(folder: Path) -> None:
    tokenizer, encoder = _scratch()
    loaded_tokenizer, loaded = load_text_encoder(replace(RECIPE, source=str(folder)))
    ids, mask = _tokens()
    assert torch.equal(loaded.eval()(ids, mask), encoder.eval()(ids, mask))
    assert loaded_tokenizer.encode(REPORTS, max_tokens=24) == tokenizer.encode(REPORTS, max_tokens=24)


def test_more_tokens_than_positions_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"text_encoder.max_tokens: 30 is above the 24 positions .* write 24 or less"):
        load_text_encoder(replace(RECIPE, source=str(folder), max_tokens=30))


def test_a_tokenizer_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    tokenizer, _ = load_text_encoder(replace(RECIPE, vocab_size=300), reports=lambda: [*REPORTS, "zebra quartz"])
    _scratch()[1].bert.save_pretrained(tmp_path)  # type: ignore[operator]
    tokenizer.save(tmp_path)
    with pytest.raises(ConfigError, match="do not belong together"):
        load_text_encoder(replace(RECIPE, source=str(tmp_path)))


def test_a_model_of_another_type_is_refused(folder: Path, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2Model

    tokenizer, _ = _scratch()
    tokenizer.save(tmp_path)
    GPT2Model(GPT2Config(vocab_size=99, n_embd=8, n_layer=1, n_head=1, n_positions=32)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"text_encoder.source: .* (cannot be loaded|is not of the BERT type)"):
        load_text_encoder(replace(RECIPE, source=str(tmp_path)))


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_cxr_bert_is_read_as_a_plain_bert_its_heads_named_its_code_not_run(
    tmp_path: Path, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    weights = write_cxr_bert(tmp_path, form=form)
    with caplog.at_level(logging.INFO):
        tokenizer, encoder = load_text_encoder(replace(RECIPE, source=str(tmp_path)))
    loaded = encoder.bert.state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())
    assert tokenizer.encode(["The lung is in the heart."], max_tokens=24).ids == (2, 11, 6, 9, 10, 11, 7, 5, 3)
    (message,) = (record.getMessage() for record in caplog.records if record.name == "simcrop")
    source, names = message.split(": heads beside the encoder, left out: ")
    assert source == f"text_encoder.source: {tmp_path}"
    assert len(names.split(", ")) == 13
    assert {name.split(".")[0] for name in names.split(", ")} == {"cls", "cls_projection_head"}
    assert {"cls.predictions.bias", "cls_projection_head.LayerNorm.weight"} <= set(names.split(", "))


def test_more_layers_than_the_configuration_tells_of_are_refused(tmp_path: Path) -> None:
    write_cxr_bert(tmp_path, form="bin")
    path = tmp_path / "pytorch_model.bin"
    weights = torch.load(path, weights_only=True)
    name = "bert.encoder.layer.{}.output.dense.bias"
    torch.save(weights | {name.format(1): weights[name.format(0)]}, path)
    with pytest.raises(
        ConfigError,
        match=r"has 1 weights of layers that its config.json lacks, such as .*layer.1.output.*; put",
    ):
        load_text_encoder(replace(RECIPE, source=str(tmp_path)))


def test_no_code_of_a_file_of_weights_is_run(tmp_path: Path) -> None:
    write_cxr_bert(tmp_path, form="bin")
    for content, why in (
        (partial(print, "run"), "asks for functools.partial, which was not run"),
        (None, "is damaged"),
    ):
        torch.save({"bert.x": content}, tmp_path / "pytorch_model.bin")
        if content is None:
            (tmp_path / "pytorch_model.bin").write_bytes(b"garbage")
        with pytest.raises(ConfigError, match=rf"^text_encoder.source: .* cannot be loaded \([^\n]*{why}[^\n]*$"):
            load_text_encoder(replace(RECIPE, source=str(tmp_path)))


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/bert", "one/two/three"])
def test_a_missing_folder_is_named_without_asking_the_network(source: str) -> None:
    with pytest.raises(ConfigError, match=f"text_encoder.source: the folder {source} does not exist"):
        load_text_encoder(replace(RECIPE, source=source))


def test_a_folder_without_a_model_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"text_encoder\.source: .* cannot be loaded") as refused:
        load_text_encoder(replace(RECIPE, source=str(tmp_path)))
    assert "\n" not in str(refused.value)


def test_a_hub_id_is_read_from_the_cache_at_the_pinned_revision(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    asked: list[tuple[object, object]] = []
    from transformers import BertConfig, BertModel, BertTokenizer

    for kind in (BertConfig, BertModel, BertTokenizer):
        real = kind.from_pretrained

        def from_cache(where: str, *args: object, _real: Any = real, **options: Any) -> object:
            # The hub's client with the folder in its cache; nothing here may reach the network.
            if where == "someone/bert":
                asked.append((options.pop("revision"), options.pop("local_files_only", False)))
                where = str(folder)
            return _real(where, *args, **options)

        monkeypatch.setattr(kind, "from_pretrained", from_cache)
    load_text_encoder(replace(RECIPE, source="someone/bert", revision="abc"))
    assert asked == [("abc", True)] * 3
