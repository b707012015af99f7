"""Checkpoints that a thread writes: the files of those that are written at once, of the instant of saving."""

from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
import torch
from support.checkpoints import CONFIG, make_module, make_state, names, newest
from torch import nn

from simcrop.adapters.checkpoints.after import AfterCheckpoint
from simcrop.adapters.checkpoints.background import BackgroundCheckpoints
from simcrop.adapters.checkpoints.store import Content, FolderCheckpoints
from simcrop.core.errors import CheckpointError


class Watched(FolderCheckpoints):
    """Tells what happens while a checkpoint is written."""

    def __init__(self, folder: Path, meanwhile: Callable[[int], object] = lambda step: None) -> None:
        super().__init__(folder, keep=2, config=CONFIG, tokenizer={"vocab.txt": b"lung\n"}, provenance={})
        self.meanwhile, self.events = meanwhile, list[str]()

    def write(self, content: Content) -> Path:
        self.events.append(f"begin {content.step}")
        self.meanwhile(content.step)
        folder = super().write(content)
        self.events.append(f"end {content.step}")
        return folder


def refuse(step: int) -> None:
    if step == 2:
        raise CheckpointError("step_00000002: cannot be written")


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_files_are_those_that_are_written_at_once(tmp_path: Path) -> None:
    at_once, store = Watched(tmp_path / "at_once"), BackgroundCheckpoints(Watched(tmp_path / "background"))
    for step in (1, 2, 3):
        module = make_module(step)
        for each in (at_once, store):
            each.save(step, module, make_state(step), metrics={"validation_loss": 1.0 / step})
    store.finish()
    assert files(tmp_path / "background") == files(tmp_path / "at_once")
    assert names(tmp_path / "background") == ["best", "latest", "step_00000002", "step_00000003"]


def test_it_holds_what_was_there_when_it_was_saved(tmp_path: Path) -> None:
    goes_on = Event()
    store = BackgroundCheckpoints(Watched(tmp_path, lambda step: goes_on.wait(300)))
    module, moments = make_module(1.0), {"exp_avg": torch.ones(2, 3).t(), "step": torch.tensor(7.0)}
    store.save(1, module, {"optimizer": {"encoder.weight": moments}})
    assert not tmp_path.joinpath("step_00000001").exists()
    store.check()
    nn.init.zeros_(module.encoder.weight)
    for value in moments.values():
        value.zero_()
    goes_on.set()
    store.finish()
    assert newest(tmp_path).weights()["encoder.weight"].unique().tolist() == [1.0]
    kept = newest(tmp_path).training_state()["optimizer"]["encoder.weight"]
    assert (kept["exp_avg"].unique().tolist(), kept["step"].item()) == ([1.0], 7.0)


def test_one_is_written_at_a_time(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    store = BackgroundCheckpoints(watched)
    for step in range(1, 6):
        store.save(step, make_module(), make_state(1.0))
    store.finish()
    assert watched.events == [f"{what} {step}" for step in range(1, 6) for what in ("begin", "end")]


@pytest.mark.parametrize("whoever", ["check", "save", "finish"])
def test_what_the_disk_refuses_is_raised_once_to_whoever_asks_next(tmp_path: Path, whoever: str) -> None:
    store = BackgroundCheckpoints(Watched(tmp_path, refuse))
    for step in (1, 2):
        store.save(step, make_module(), make_state(1.0))

    def ask() -> None:
        if whoever == "save":
            store.save(3, make_module(), make_state(1.0))
        elif whoever == "finish":
            store.finish()
        else:
            while True:
                store.check()

    with pytest.raises(CheckpointError, match="step_00000002: cannot be written"):
        ask()
    store.check()
    store.finish()
    assert newest(tmp_path).step == 1


def test_what_comes_after_a_checkpoint_is_waited_for(tmp_path: Path) -> None:
    command = AfterCheckpoint(f"cp $SIMCROP_CHECKPOINT/model.safetensors {tmp_path}/$SIMCROP_STEP", tmp_path)
    store = BackgroundCheckpoints(Watched(tmp_path / "checkpoints"), command)
    for step in (1, 2):
        store.save(step, make_module(step), make_state(1.0))
    store.finish()
    assert (tmp_path / "2").read_bytes() == (tmp_path / "checkpoints/step_00000002/model.safetensors").read_bytes()
    assert (tmp_path / "1").is_file()
