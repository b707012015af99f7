"""A checkpoint folder is believed only as far as its hashes hold."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.checkpoints import flip_a_byte, make_store, newest, save, set_version
from support.hostile import hash_anew
from torch import nn

from simcrop.adapters.checkpoints.folder import (
    find_checkpoint,
    join_tensors,
    newest_whole,
    open_checkpoint,
    split_tensors,
)
from simcrop.adapters.checkpoints.migrations import VERSION
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_tree
from simcrop.adapters.system.files import sha256_of
from simcrop.adapters.system.provenance import weights_sha256
from simcrop.core.errors import CheckpointError
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.reference import REFERENCE


def test_one_without_a_version_is_of_the_first(tmp_path: Path) -> None:
    about = {"data_fingerprint": "abc", "settings": {"finetune.lr": 0.1}}
    save(make_store(tmp_path, config={"text_encoder": {}}, provenance=about), 3)
    assert newest(tmp_path).config() == {"text_encoder": {}}
    set_version(tmp_path / "step_00000003", None)
    then = {"context": "report", "sentence_rule": "simcrop", "separator": True}
    assert newest(tmp_path).config() == {"text_encoder": then}
    assert newest(tmp_path).settings == {"finetune.lr": 0.1}


def test_one_of_a_later_version_is_refused_and_never_passed_over(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    save(store, 2)
    save(store, 3)
    set_version(tmp_path / "step_00000003", VERSION + 1)
    for read in (newest_whole, find_checkpoint):
        with pytest.raises(CheckpointError, match=r"step_00000003/manifest.json: is of version .*; update simcrop$"):
            read(tmp_path)


FILES = ["model.safetensors", "config.json", "training_state/optimizer.safetensors", "training_state/state.json"]


@pytest.mark.parametrize("damage", [flip_a_byte, Path.unlink, lambda path: os.truncate(path, 3)])
@pytest.mark.parametrize("name", [*FILES, "tokenizer/vocab.txt"])
def test_a_damaged_newest_one_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: Any
) -> None:
    store = make_store(tmp_path)
    save(store, 1)
    save(store, 2)
    damage(tmp_path / "step_00000002" / name)
    with caplog.at_level(logging.WARNING):
        assert newest(tmp_path).step == 1
    assert f"step_00000002/{name}: " in caplog.text
    assert "continuing from step_00000001" in caplog.text


def test_where_all_are_damaged_nothing_starts_anew_unasked(tmp_path: Path) -> None:
    save(make_store(tmp_path), 2)
    flip_a_byte(tmp_path / "step_00000002" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model.safetensors: damaged .*no whole one is left"):
        newest_whole(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"version": "2", "step": 2, "files": {}}',
        '{"step": 3, "files": {}}',
        '{"step": "2", "files": {}}',
        '{"step": 2}',
        "\xff",
    ],
)
def test_a_damaged_manifest_is_seen(tmp_path: Path, content: str) -> None:
    save(make_store(tmp_path), 2)
    (tmp_path / "step_00000002" / "manifest.json").write_text(content, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"manifest.json: damaged"):
        open_checkpoint(tmp_path / "step_00000002")


def test_a_file_that_the_manifest_does_not_list_is_not_read(tmp_path: Path) -> None:
    save(make_store(tmp_path), 2)
    path = tmp_path / "step_00000002" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]["model.safetensors"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"model.safetensors: not listed"):
        open_checkpoint(tmp_path / "step_00000002").weights()


def test_paths_that_mean_a_checkpoint(tmp_path: Path) -> None:
    store = make_store(tmp_path / "run" / "checkpoints")
    save(store, 1)
    save(store, 2)
    folder = tmp_path / "run" / "checkpoints"
    assert find_checkpoint(tmp_path / "run").step == 2
    assert find_checkpoint(folder).step == 2
    assert find_checkpoint(folder / "step_00000001").step == 1
    with pytest.raises(CheckpointError, match=r"nowhere: no such folder"):
        find_checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"manifest.json: cannot be read .*checkpoint folder"):
        find_checkpoint(tmp_path)
    assert newest_whole(tmp_path / "nowhere") is None


def test_a_checkpoint_has_what_others_ask_of_trained_weights(tmp_path: Path) -> None:
    config = RunConfig()
    encoder = VisionEncoder(config.model, REFERENCE)
    module = nn.Module()
    module.encoder, module.head = encoder, nn.Linear(1, 1)
    store = make_store(tmp_path, config=as_tree(config))
    store.save(3, module, {})
    store.save(4, module, {})
    found = newest(tmp_path)
    assert found.run_config().model == config.model
    assert found.sha256 == sha256_of(found.path / "model.safetensors")
    assert weights_sha256(found.encoder(REFERENCE)) == weights_sha256(encoder)
    assert found.contents()[0].keys() == encoder.state_dict().keys()
    assert found.weights().keys() == module.state_dict().keys()
    assert found.whole("it", "do that") is found
    with pytest.raises(CheckpointError, match=r"step_00000004: says itself how its model is made; leave out `model`$"):
        found.encoder(REFERENCE, {"depth": 2})


def test_a_fine_tuned_classifier_is_no_whole_model(tmp_path: Path) -> None:
    save(make_store(tmp_path, provenance={"classifier": {"labels": ["Emphysema"]}}), 3)
    with pytest.raises(CheckpointError, match=r"^it: holds a fine-tuned classifier, no text side; do that$"):
        newest(tmp_path).whole("it", "do that")


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
TREES = st.recursive(
    st.one_of(LEAVES, st.integers(0, 9).map(lambda value: torch.full((2,), value))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=8,
)


def plain(tree: Any) -> Any:
    """The tree with lists of numbers in place of tensors, so that `==` compares it."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [plain(value) for value in tree]
    return ("tensor", tree.tolist()) if isinstance(tree, torch.Tensor) else tree


@given(st.dictionaries(st.sampled_from(["weight", "list", "µ"]), TREES, max_size=3))
def test_a_tree_comes_back_through_json(tree: dict[str, Any]) -> None:
    apart, tensors = split_tensors(tree)
    assert plain(join_tensors(json.loads(json.dumps(apart)), tensors)) == plain(tree)


def test_tensors_are_named_by_their_place_and_contiguous() -> None:
    apart, tensors = split_tensors({"a": {"b": [1, torch.ones(2, 3, requires_grad=True).t()]}})
    assert apart == {"a": {"b": [1, {"tensor": "a/b/1"}]}}
    assert tensors["a/b/1"].is_contiguous()
    assert not tensors["a/b/1"].requires_grad


@pytest.mark.parametrize(
    "state",
    [{}, {"optimizer": 1}, {"optimizer": {"a": 1}}, {"optimizer": {"a": {"b": 1}}}, {"optimizer": {"tensor": "x"}}],
)
def test_a_state_of_training_that_is_none_is_refused(tmp_path: Path, state: dict[str, Any]) -> None:
    save(make_store(tmp_path), 3)
    folder = tmp_path / "step_00000003"
    assert newest(tmp_path).training_state()["optimizer"].keys() == {"encoder.weight"}
    (folder / "training_state/state.json").write_text(json.dumps(state))
    hash_anew(folder)
    with pytest.raises(CheckpointError, match=r"state.json: damaged \(it is not the state of a training, or not of"):
        newest(tmp_path).training_state()
