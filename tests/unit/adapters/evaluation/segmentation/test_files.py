"""Networks and states of a training on disk: whole or not at all, and never of other settings."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from simcrop.adapters.evaluation.segmentation.files import (
    find_segmenter,
    load_state,
    remove_state,
    save_segmenter,
    save_state,
    segmenter_config,
    segmenter_weights,
)
from simcrop.core.errors import CheckpointError

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(1.5)}
ABOUT = {"config": {"name": "x"}, "settings": {"seed": 0}, "trained": {"best_step": 3}}
STATE: dict[str, Any] = {
    "step": 7,
    "scores": [[2, 0.5], [4, None]],
    "best": {"w": torch.ones(2)},
    "moments": {"w": {"step": torch.tensor(7.0), "exp_avg": torch.full((2,), 0.25)}},
}
SETTINGS = {"segment.lr": 1e-4, "segment.roi_size": (8, 8, 4), "data": "abc"}


def test_a_network_comes_back(tmp_path: Path) -> None:
    assert find_segmenter(tmp_path) is None
    folder = save_segmenter(tmp_path, WEIGHTS, ABOUT)
    assert find_segmenter(tmp_path) == find_segmenter(folder) == folder
    content = segmenter_config(folder)
    assert {key: content[key] for key in ABOUT} == ABOUT
    found = segmenter_weights(folder, content["sha256"])
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in WEIGHTS.items())
    assert [path.name for path in tmp_path.iterdir()] == ["segmenter"]


def test_what_a_killed_writer_left_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / ".segmenter.draft").mkdir()
    (tmp_path / ".segmenter.draft" / "config.json").write_text("{")
    assert find_segmenter(tmp_path) is None
    save_segmenter(tmp_path, WEIGHTS, ABOUT)
    assert [path.name for path in tmp_path.iterdir()] == ["segmenter"]


def test_damaged_networks_are_refused(tmp_path: Path) -> None:
    folder = save_segmenter(tmp_path, WEIGHTS, ABOUT)
    sha256 = segmenter_config(folder)["sha256"]
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged \(its sha256 is not config\.json's\)"):
        segmenter_weights(folder, sha256)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read \(No such file"):
        segmenter_weights(folder, sha256)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json: damaged"):
        segmenter_config(folder)
    (folder / "config.json").write_text(json.dumps({"vocab_size": 3}))
    with pytest.raises(CheckpointError, match=r"config\.json: is no segmentation network's"):
        segmenter_config(folder)


def test_a_state_comes_back(tmp_path: Path) -> None:
    assert load_state(tmp_path, SETTINGS) is None
    save_state(tmp_path, {**STATE, "step": 6}, SETTINGS)
    save_state(tmp_path, STATE, SETTINGS)
    found = load_state(tmp_path, SETTINGS)
    assert found is not None
    assert (found["step"], found["scores"]) == (7, [[2, 0.5], [4, None]])
    assert torch.equal(found["best"]["w"], torch.ones(2))
    assert torch.equal(found["moments"]["w"]["exp_avg"], torch.full((2,), 0.25))
    assert len(list(tmp_path.iterdir())) == 1
    remove_state(tmp_path)
    assert load_state(tmp_path, SETTINGS) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"segment.lr": 2e-4},
            r"^segment\.lr: 0\.0002 differs from 0\.0001 in .*; set it back, or train anew with another --out$",
        ),
        ({"segment.roi_size": (8, 8, 8)}, r"^segment\.roi_size: \(8, 8, 8\) differs from \[8, 8, 4\]"),
        ({"segment.new": 1}, r"^segment\.new: 1 differs from None"),
    ],
)
def test_a_state_of_other_settings_is_refused_by_key(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    save_state(tmp_path, STATE, SETTINGS)
    with pytest.raises(CheckpointError, match=message):
        load_state(tmp_path, {**SETTINGS, **changed})


def test_a_damaged_state_is_refused_with_the_way_out(tmp_path: Path) -> None:
    save_state(tmp_path, STATE, SETTINGS)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"training_state\.safetensors: damaged .*; delete it to begin anew$"):
        load_state(tmp_path, SETTINGS)


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(CheckpointError, match=r"cannot be written \(.*\); free some space, then start again$"):
        save_state(blocked, STATE, SETTINGS)
    with pytest.raises(CheckpointError, match=r"cannot be written \(.*\); free some space, then start again$"):
        save_segmenter(blocked, WEIGHTS, ABOUT)
