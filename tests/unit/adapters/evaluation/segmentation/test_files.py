"""Networks on disk: whole or not at all."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from simcrop.adapters.evaluation.segmentation.files import (
    find_segmenter,
    require_segmenter,
    save_segmenter,
    segmenter_config,
    segmenter_weights,
)
from simcrop.core.errors import CheckpointError

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(1.5)}
ABOUT = {"config": {"name": "x"}, "settings": {"seed": 0}, "trained": {"best_step": 3}}


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


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(CheckpointError, match=r"cannot be written \(.*\); free some space, then start again$"):
        save_segmenter(blocked, WEIGHTS, ABOUT)


def test_weights_of_another_network_are_refused_by_their_header(tmp_path: Path) -> None:
    network = nn.Linear(2, 3)
    folder = save_segmenter(tmp_path, network.state_dict(), ABOUT)
    require_segmenter(folder, network)
    with torch.device("meta"):
        large = nn.Linear(1 << 20, 1 << 20)
    with pytest.raises(
        CheckpointError, match=r"model.safetensors: does not belong .*weight is \(3, 2\), .*; fine-tune"
    ):
        require_segmenter(folder, large)


@pytest.mark.parametrize(
    "changes", [{"config": []}, {"settings": "a"}, {"sha256": 1}, {"version": "5"}, {"config": None}]
)
def test_a_description_of_other_types_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    folder = save_segmenter(tmp_path, WEIGHTS, ABOUT)
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | changes))
    with pytest.raises(
        CheckpointError, match=r"config.json: (is no segmentation network's|damaged \(version: no whole)"
    ):
        segmenter_config(folder)
