"""Checkpoints appear whole or not at all, and damage is seen."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from simcrop.adapters.checkpoints.folder import Checkpoint, find_checkpoint, newest_whole, open_checkpoint
from simcrop.adapters.checkpoints.store import FolderCheckpoints
from simcrop.core.errors import CheckpointError

CONFIG = {"model": {"depth": 1}, "note": "µ"}


def save_tokenizer(folder: Path) -> None:
    (folder / "vocab.txt").write_text("lung\nheart\n")


def make_store(folder: Path, **options: Any) -> FolderCheckpoints:
    defaults: dict[str, Any] = {
        "keep": 2,
        "config": CONFIG,
        "save_tokenizer": save_tokenizer,
        "provenance": {"data_fingerprint": "abc"},
    }
    return FolderCheckpoints(folder, **(defaults | options))


def make_module(value: float = 1.0) -> nn.Module:
    module = nn.Module()
    module.encoder, module.text_encoder = nn.Linear(2, 3), nn.Linear(1, 1)
    nn.init.constant_(module.encoder.weight, value)
    return module


def make_state(value: float) -> dict[str, Any]:
    moments = {"exp_avg": torch.full((2, 3), value).t(), "step": torch.tensor(7.0)}
    return {
        "best_validation_loss": 0.1 + 0.2,
        "optimizer": {"encoder.weight": moments},
        "list": [1, torch.ones(2), None],
    }


def save(store: FolderCheckpoints, step: int, metrics: Mapping[str, float] | None = None) -> None:
    store.save(step, make_module(float(step)), make_state(float(step)), metrics=metrics)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def newest(folder: Path) -> Checkpoint:
    checkpoint = newest_whole(folder)
    assert checkpoint is not None
    return checkpoint


def test_what_was_saved_comes_back_exactly(tmp_path: Path) -> None:
    save(make_store(tmp_path), 300, {"validation_loss": 2.0})
    checkpoint = newest(tmp_path)
    assert checkpoint.step == 300
    assert checkpoint.config() == CONFIG
    weights, module = checkpoint.weights(), make_module(300.0)
    assert list(weights) == sorted(module.state_dict())
    assert torch.equal(weights["encoder.weight"], module.encoder.weight)
    state, expected = checkpoint.training_state(), make_state(300.0)
    assert state["best_validation_loss"] == expected["best_validation_loss"]
    assert torch.equal(state["optimizer"]["encoder.weight"]["exp_avg"], torch.full((3, 2), 300.0))
    assert state["optimizer"]["encoder.weight"]["step"].item() == 7.0
    assert state["list"][0] == 1
    assert state["list"][2] is None
    assert (checkpoint.tokenizer_folder() / "vocab.txt").read_text() == "lung\nheart\n"
    assert checkpoint.manifest["data_fingerprint"] == "abc"


@pytest.mark.parametrize(
    ("saved", "read"), [({}, "report"), ({"context": None}, None), ({"context": "report"}, "report")]
)
def test_one_from_before_sentences_were_read_apart_reads_them_amid_the_report(
    tmp_path: Path, saved: dict[str, Any], read: str | None
) -> None:
    save(make_store(tmp_path, config={"text_encoder": saved}), 3)
    assert newest(tmp_path).config() == {"text_encoder": {"context": read}}


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    save(make_store(tmp_path), 300, {"validation_loss": 2.0})
    assert names(tmp_path) == ["best", "latest", "step_00000300"]
    assert (tmp_path / "latest").read_text() == (tmp_path / "best").read_text() == "step_00000300\n"
    folder = tmp_path / "step_00000300"
    assert names(folder) == ["config.json", "manifest.json", "model.safetensors", "tokenizer", "training_state"]
    assert names(folder / "training_state") == ["optimizer.safetensors", "state.json"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["step"] == 300
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == files - {"manifest.json"}


def test_weights_that_others_provide_are_left_out(tmp_path: Path) -> None:
    save(make_store(tmp_path, omit=("text_encoder.",)), 1)
    assert set(newest(tmp_path).weights()) == {"encoder.weight", "encoder.bias"}


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"", b"..\n", b"step_3"], ids=["not UTF-8", "empty", "up", "short"]
)
def test_a_damaged_name_of_the_latest_or_best_is_one_line(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    save(make_store(tmp_path / "checkpoints"), 3, {"validation_loss": 0.5})
    (tmp_path / "checkpoints" / "latest").write_bytes(content)
    for path in (tmp_path, tmp_path / "checkpoints"):
        with pytest.raises(CheckpointError) as error:
            find_checkpoint(path)
        assert str(error.value) == (
            f"{tmp_path}/checkpoints/latest: damaged (not the name of a step folder); name a step folder beside it"
        )
    (tmp_path / "checkpoints" / "best").write_bytes(content)
    save(make_store(tmp_path / "checkpoints"), 4, {"validation_loss": 0.4})
    assert find_checkpoint(tmp_path).step == 4
    assert (tmp_path / "checkpoints" / "best").read_text() == "step_00000004\n"
    assert "no longer the best" in caplog.text


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    for step, loss in [(1, 3.0), (2, 1.0), (3, None), (4, 2.0), (5, float("nan"))]:
        save(store, step, None if loss is None else {"validation_loss": loss})
    assert names(tmp_path) == ["best", "latest", "step_00000002", "step_00000004", "step_00000005"]
    assert (tmp_path / "best").read_text() == "step_00000002\n"
    assert (tmp_path / "latest").read_text() == "step_00000005\n"
    resumed = make_store(tmp_path, start_step=5)
    save(resumed, 6, {"validation_loss": 0.5})
    assert names(tmp_path) == ["best", "latest", "step_00000005", "step_00000006"]


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


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
    "content", ["", "[]", '{"step": 3, "files": {}}', '{"step": "2", "files": {}}', '{"step": 2}', "\xff"]
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


def test_a_damaged_one_is_written_anew_and_never_counts_as_kept(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    for step in (2, 3, 4):
        save(store, step)
    flip_a_byte(tmp_path / "step_00000004" / "config.json")
    resumed = make_store(tmp_path, start_step=newest(tmp_path).step)
    save(resumed, 5)
    assert names(tmp_path) == ["latest", "step_00000003", "step_00000005"]
    flip_a_byte(tmp_path / "step_00000005" / "config.json")
    again = make_store(tmp_path, start_step=newest(tmp_path).step)
    save(again, 5)
    assert newest(tmp_path).step == 5


def test_what_a_killed_writer_left_is_cleaned_away(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    save(store, 1)
    for name in (".writing_step_00000002", ".replaced_step_00000001", ".pruned_step_00000000"):
        (tmp_path / name / "tokenizer").mkdir(parents=True)
        (tmp_path / name / "model.safetensors").write_text("half")
    assert newest(tmp_path).step == 1
    save(store, 2)
    assert names(tmp_path) == ["latest", "step_00000001", "step_00000002"]


def test_a_disk_that_refuses_is_one_line_and_the_previous_one_stays(tmp_path: Path) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    save(make_store(tmp_path), 1)
    with pytest.raises(CheckpointError, match=r"step_00000002: cannot be written .*No space left.*free some space"):
        save(make_store(tmp_path, save_tokenizer=refuse), 2)
    assert newest(tmp_path).step == 1


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
