"""Linear probes on disk."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from support.hostile import changed_trees

from simcrop.adapters.evaluation.classification.kept_probe import KeptProbe, find_probe, load_probe, save_probe
from simcrop.adapters.evaluation.classification.logistic_regression import LinearProbe
from simcrop.adapters.system.files import sha256_of
from simcrop.core.errors import CheckpointError
from simcrop.core.evaluation.labels import LearnedFrom


def kept(folder: Path, centres: torch.Tensor | None = None) -> KeptProbe:
    probe = LinearProbe(torch.randn(2, 3).double(), torch.randn(2).double(), exclusive=False)
    learned_from = LearnedFrom(5, 4, (2, 3))
    model = {"path": str(folder / "run"), "sha256": "ab"}
    read_out = "encoder" if centres is None else "prototypes"
    return KeptProbe(("A", "B"), False, learned_from, (0.25, math.nan), probe, read_out, centres, model)


@pytest.mark.parametrize("centres", [None, torch.eye(3)])
def test_a_probe_is_found_again_with_all_that_it_knows(tmp_path: Path, centres: torch.Tensor | None) -> None:
    saved = kept(tmp_path, centres)
    save_probe(tmp_path / "eval/probe_1", saved)
    folder = find_probe(tmp_path / "eval/probe_1")
    assert folder == tmp_path / "eval/probe_1/probe" == find_probe(folder)
    found = load_probe(folder)
    assert (found.names, found.exclusive, found.learned_from) == (("A", "B"), False, LearnedFrom(5, 4, (2, 3)))
    assert found.thresholds[0] == 0.25
    assert math.isnan(found.thresholds[1])
    assert torch.equal(found.probe.logits(torch.ones(1, 3)), saved.probe.logits(torch.ones(1, 3)))
    assert found.read_out == saved.read_out
    assert found.centres is None if centres is None else torch.equal(found.centres, centres)
    assert found.model == {**saved.model, "beside": "../../run"}
    assert find_probe(tmp_path) is None


def test_a_damaged_probe_is_refused(tmp_path: Path) -> None:
    save_probe(tmp_path, kept(tmp_path))
    weights, about = tmp_path / "probe/probe.safetensors", tmp_path / "probe/probe.json"
    content, text = weights.read_bytes(), about.read_text()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"damaged \(the sha256 of probe.safetensors is not probe.json's\)"):
        load_probe(tmp_path / "probe")
    weights.write_bytes(content)
    about.write_text(text[:-20])
    with pytest.raises(CheckpointError, match="damaged"):
        load_probe(tmp_path / "probe")
    about.write_text(json.dumps(json.loads(text) | {"version": 2}))
    with pytest.raises(CheckpointError, match="later version"):
        load_probe(tmp_path / "probe")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_probe_json_says_is_one_line_or_a_probe(tmp_path: Path, data: st.DataObject) -> None:
    save_probe(tmp_path, kept(tmp_path))
    about = tmp_path / "probe/probe.json"
    text = data.draw(changed_trees(json.loads(about.read_text())))
    about.write_text(text, encoding="utf-8")
    message = ""
    try:
        found = load_probe(tmp_path / "probe")
        found.probe.logits(torch.ones(1, 3))
    except CheckpointError as error:
        message = str(error)
    assert "\n" not in message


def test_weights_of_other_labels_are_refused(tmp_path: Path) -> None:
    save_probe(tmp_path, kept(tmp_path))
    path, about = tmp_path / "probe/probe.safetensors", tmp_path / "probe/probe.json"
    for tensors in ({"weight": torch.ones(3, 3), "bias": torch.ones(3)}, {"weight": torch.ones(2)}, {}):
        save_file(tensors, path)
        about.write_text(json.dumps(json.loads(about.read_text()) | {"sha256": sha256_of(path)}))
        with pytest.raises(
            CheckpointError, match=r"probe.safetensors: damaged \(no weight and bias of 2 labels\); fit"
        ):
            load_probe(tmp_path / "probe")
