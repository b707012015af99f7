"""Checkpoints appear whole or not at all, and damage is seen."""

import json
from pathlib import Path

import pytest
import torch
from support.checkpoints import CONFIG, flip_a_byte, make_module, make_state, make_store, names, newest, save
from support.full_disk import files_of_at_most
from support.power_cut import watched

from simcrop.adapters.checkpoints.folder import find_checkpoint
from simcrop.core.errors import CheckpointError


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


def test_the_rows_behind_a_checkpoint_are_on_the_disk_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, left = tmp_path / "metrics.jsonl", list[tuple[bool, bytes | None]]()
    rows.touch()
    disk = watched(
        tmp_path,
        monkeypatch,
        lambda disk: left.append(("checkpoints/step_00000001" in disk.early(), disk.early()["metrics.jsonl"])),
    )
    rows.write_text('{"step": 1}\n')
    save(make_store(tmp_path / "checkpoints", rows=rows), 1)
    disk.close()
    assert left[0] == (False, b"")
    assert left[-1] == (True, b'{"step": 1}\n')
    assert (True, b"") not in left


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
    for name in (".step_00000002.draft", ".step_00000001.gone", ".step_00000000.gone"):
        (tmp_path / name / "tokenizer").mkdir(parents=True)
        (tmp_path / name / "model.safetensors").write_text("half")
    assert newest(tmp_path).step == 1
    save(store, 2)
    assert names(tmp_path) == ["latest", "step_00000001", "step_00000002"]


def test_a_disk_that_refuses_is_one_line_and_the_previous_one_stays(tmp_path: Path) -> None:
    save(make_store(tmp_path), 1)
    with (
        files_of_at_most(100),
        pytest.raises(CheckpointError, match=r"step_00000002: cannot be written .*File too large.*free some space"),
    ):
        save(make_store(tmp_path), 2)
    assert newest(tmp_path).step == 1


def test_a_folder_that_somebody_reads_is_not_pruned(tmp_path: Path) -> None:
    read = {"step_00000001"}
    store = make_store(tmp_path, in_use=lambda: read)
    for step in (1, 2, 3, 4):
        save(store, step)
    assert names(tmp_path) == ["latest", "step_00000001", "step_00000003", "step_00000004"]
    read.clear()
    save(store, 5)
    assert names(tmp_path) == ["latest", "step_00000004", "step_00000005"]


@pytest.mark.parametrize("gone", ["run", "run/metrics.jsonl"])
def test_a_run_folder_that_is_gone_is_named_and_no_new_one_is_made(tmp_path: Path, gone: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.jsonl").touch()
    store = make_store(run / "checkpoints", rows=run / "metrics.jsonl")
    (tmp_path / gone).rename(tmp_path / "moved")
    with pytest.raises(CheckpointError, match=r"was removed or moved while it was in use; put it back, or resume"):
        save(store, 1)
    assert not (tmp_path / gone).exists()
