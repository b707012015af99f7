"""Every evaluation computes with the CPU threads that it is told to."""

from importlib import import_module
from pathlib import Path

import pytest
import torch
from support.tiny_data import write_config

from simcrop.adapters.config.settings import load_config
from simcrop.core.errors import CheckpointError


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("probe", "probe"),
        ("probe", "knn"),
        ("finetune", "finetune"),
        ("zeroshot", "zeroshot"),
        ("retrieval", "retrieval"),
        ("grounding", "grounding"),
        ("segment", "segment"),
    ],
)
@pytest.mark.parametrize(("asked", "used"), [("1", 1), ("null", 2)])
def test_threads_are_those_that_are_asked_for(tmp_path: Path, module: str, name: str, asked: str, used: int) -> None:
    if name == "segment":
        pytest.importorskip("monai", reason="MONAI is not installed")
    torch.set_num_threads(2)
    evaluate = getattr(import_module(f"simcrop.compose.evaluation.{module}"), name)
    config = load_config(write_config(tmp_path), [f"train.threads={asked}", "finetune.new_head=true"])
    with pytest.raises(CheckpointError, match="nowhere"):
        evaluate(config, checkpoint=str(tmp_path / "nowhere"), out=tmp_path / "out")
    assert torch.get_num_threads() == used
