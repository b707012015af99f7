"""Small checkpoints, and damage to them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from simcrop.adapters.checkpoints.folder import Checkpoint, newest_whole
from simcrop.adapters.checkpoints.migrations import VERSION
from simcrop.adapters.checkpoints.store import FolderCheckpoints

CONFIG = {"model": {"depth": 1}, "note": "µ"}


def make_store(folder: Path, **options: Any) -> FolderCheckpoints:
    defaults: dict[str, Any] = {
        "keep": 2,
        "config": CONFIG,
        "tokenizer": {"vocab.txt": b"lung\nheart\n"},
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


def set_version(folder: Path, version: int | None) -> None:
    """Let a checkpoint say that another version wrote it; None: none says."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest.pop("version") == VERSION
    path.write_text(json.dumps(manifest if version is None else {"version": version, **manifest}))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def newest(folder: Path) -> Checkpoint:
    checkpoint = newest_whole(folder)
    assert checkpoint is not None
    return checkpoint


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
