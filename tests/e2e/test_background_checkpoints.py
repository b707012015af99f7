"""Checkpoints while training goes on: steps wait for no disk, and the user's command has each of them."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.owning import wait_for
from support.tiny_data import write_config

from simcrop.adapters.checkpoints.folder import open_checkpoint
from simcrop_cli.__main__ import main

STEPS = 8
OPTIONS = (f"train.steps={STEPS}", "train.evaluate_every=8", "train.picture_every=8", "train.trackers=[]")


def train(folder: Path, *options: str) -> int:
    settings = [part for option in (*OPTIONS, *options) for part in ("--set", option)]
    return main(["train", str(folder / "tiny.yaml"), "--out", str(folder / "run"), *settings])


def steps(folder: Path) -> list[int]:
    lines = (folder / "run" / "metrics.jsonl").read_text().split("\n")[:-1]
    return [json.loads(line)["step"] for line in lines]


def in_writing(step: int, then: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something when the writing of a step's checkpoint begins, in the thread that writes it."""
    fsync, begun = os.fsync, set[str]()

    def watched(descriptor: int) -> None:
        name = threading.current_thread().name
        if name == f"simcrop checkpoint {step}" and name not in begun:
            begun.add(name)
            then()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)


def test_steps_go_on_while_a_disk_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config(tmp_path)
    in_writing(3, lambda: wait_for(lambda: steps(tmp_path)[-1] > 4), monkeypatch)
    assert train(tmp_path) == 0
    assert steps(tmp_path) == [*range(1, STEPS + 1)]
    assert (tmp_path / "run" / "checkpoints" / "latest").read_text() == f"step_{STEPS:08d}\n"


def test_the_users_command_has_each_whole_checkpoint_and_its_failure_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path)
    copies = tmp_path / "copies"
    copies.mkdir()
    command = f"cp -r $SIMCROP_CHECKPOINT {copies}; [ $SIMCROP_STEP != 3 ] || {{ echo no such bucket; exit 5; }}"
    assert train(tmp_path, f"train.after_checkpoint='{command}'") == 0
    assert sorted(path.name for path in copies.iterdir()) == ["step_00000003", "step_00000006", "step_00000008"]
    for path in copies.iterdir():
        checkpoint = open_checkpoint(path)
        assert all(checkpoint.file(file) for file in checkpoint.manifest["files"])
    [warning] = [message for message in caplog.messages if "exit status" in message]
    first = tmp_path / "run" / "checkpoints" / "step_00000003"
    assert warning == f"train.after_checkpoint: exit status 5 after {first} (no such bucket); training goes on"
