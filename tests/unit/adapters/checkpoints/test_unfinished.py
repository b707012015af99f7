"""The state of a training that is not over: continued by the same settings alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from simcrop.adapters.checkpoints.unfinished import remove_training, training_store, unfinished_training
from simcrop.core.errors import CheckpointError

ONE: Mapping[str, Any] = {"finetune.lr": 0.1, "labels.percent": 10, "segment.roi_size": (8, 8, 4)}


def make() -> nn.Module:
    return nn.ModuleDict({"encoder": nn.Linear(2, 2), "head": nn.Linear(2, 1)})


def test_the_state_of_a_fit_is_continued_by_the_same_fit_alone(tmp_path: Path) -> None:
    classifier = make()
    store = training_store(tmp_path, ONE, omit=("encoder.",), start_step=0)
    store.save(2, classifier, {"num_worse": 1})
    found = unfinished_training(tmp_path, ONE)
    assert found is not None
    assert (found.step, found.training_state()) == (2, {"num_worse": 1})
    assert set(found.weights()) == {"head.weight", "head.bias"}
    with pytest.raises(
        CheckpointError, match=r"^labels\.percent: None differs from 10 in .*training/step_00000002; set"
    ):
        unfinished_training(tmp_path, {key: ONE[key] for key in ("finetune.lr", "segment.roi_size")})
    assert unfinished_training(tmp_path, ONE) is not None
    remove_training(tmp_path)
    assert not (tmp_path / "training").exists()
    assert unfinished_training(tmp_path, ONE) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"finetune.lr": 0.2},
            r"^finetune\.lr: 0\.2 differs from 0\.1 in .*; set it back, or train anew with another --out$",
        ),
        ({"segment.roi_size": (8, 8, 8)}, r"^segment\.roi_size: \(8, 8, 8\) differs from \[8, 8, 4\]"),
        ({"segment.new": 1}, r"^segment\.new: 1 differs from None"),
        ({"finetune.min_lr": 1e-5}, r"^finetune\.min_lr: 1e-05 differs from 0\.0 in"),
    ],
)
def test_other_settings_are_refused_by_key(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    training_store(tmp_path, ONE, omit=(), start_step=0).save(2, make(), {"num_worse": 1})
    with pytest.raises(CheckpointError, match=message):
        unfinished_training(tmp_path, {**ONE, **changed})


def test_a_key_that_came_later_has_its_default(tmp_path: Path) -> None:
    training_store(tmp_path, ONE, omit=(), start_step=0).save(2, make(), {"num_worse": 1})
    assert unfinished_training(tmp_path, {**ONE, "finetune.min_lr": 0.0, "finetune.betas": (0.9, 0.999)}) is not None


def test_a_damaged_state_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    store = training_store(tmp_path, ONE, omit=(), start_step=0)
    for step in (2, 4):
        store.save(step, make(), {"w": torch.ones(2)})
    newest = tmp_path / "training" / "step_00000004" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-10])
    found = unfinished_training(tmp_path, ONE)
    assert found is not None
    assert found.step == 2
