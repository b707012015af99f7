"""A process that is killed at any instant of writing a checkpoint leaves the one before it loadable."""

import multiprocessing
import random
import time
from collections.abc import Mapping
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from simcrop.adapters.checkpoints.background import BackgroundCheckpoints
from simcrop.adapters.checkpoints.folder import find_checkpoint, newest_whole, open_checkpoint, step_folders
from simcrop.adapters.checkpoints.store import FolderCheckpoints

KILLS = 25
FORK = multiprocessing.get_context("fork")


def make_state(step: int) -> Mapping[str, Any]:
    return {"optimizer": {"weight": {"exp_avg": torch.full((400, 100), float(step))}}, "best_validation_loss": None}


def save_without_end(folder: Path, first: int, done: "Synchronized[int]", *, in_background: bool) -> None:
    """What the process that is killed does: `done` is the last step whose saving came to its end for certain."""
    module = nn.Linear(400, 100)
    store = FolderCheckpoints(
        folder,
        keep=2,
        config={},
        tokenizer={},
        provenance={},
        start_step=done.value,
    )
    background = BackgroundCheckpoints(store)
    for step in range(first, first + 10_000):
        nn.init.constant_(module.weight, step)
        (background if in_background else store).save(
            step, module, dict(make_state(step)), metrics={"validation_loss": 1000.0 / step}
        )
        done.value = max(done.value, step - 1 if in_background else step)  # whoever saves waits for the one before


@pytest.mark.parametrize("in_background", [False, True], ids=["at once", "in the background"])
def test_a_kill_at_any_instant_leaves_a_whole_checkpoint(tmp_path: Path, in_background: bool) -> None:
    done = FORK.Value("q", 0)
    torn = 0
    draw = random.SystemRandom()
    for _ in range(KILLS):
        before = done.value
        process = FORK.Process(
            target=save_without_end, args=(tmp_path, before + 1, done), kwargs={"in_background": in_background}
        )
        process.start()
        while done.value == before:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.05))
        process.kill()
        process.join()
        torn += any(path.name.startswith(".") for path in tmp_path.iterdir())

        for name in step_folders(tmp_path):
            checkpoint = open_checkpoint(tmp_path / name)  # every folder of that name is whole, not the newest alone
            assert all(checkpoint.file(file) for file in checkpoint.manifest["files"])
        newest = newest_whole(tmp_path)
        assert newest is not None
        assert newest.step - done.value in ((0, 1, 2) if in_background else (0, 1))
        assert newest.weights()["weight"].unique().tolist() == [newest.step]
        assert newest.training_state()["optimizer"]["weight"]["exp_avg"].unique().tolist() == [newest.step]
        assert newest.step - find_checkpoint(tmp_path).step in (0, 1), "latest names a whole one"
        assert (tmp_path / (tmp_path / "best").read_text().strip()).is_dir()
        done.value = newest.step
    assert torn > KILLS // 4, "the kills must hit the writing, not the time between"
