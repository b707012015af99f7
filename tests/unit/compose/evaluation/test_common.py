"""Begin and end of every evaluation: the threads that are asked for, and a warning of other data."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from rich.table import Table
from support.tiny_data import write_config

from simcrop.adapters.config.settings import load_config
from simcrop.adapters.evaluation.output import Evaluation, Predictions
from simcrop.compose.data import Data
from simcrop.compose.evaluation.common import OTHER_DATA, finish
from simcrop.core.data.study import Report, Study
from simcrop.core.errors import CheckpointError

STUDIES = [Study(f"s{number}", f"p{number}", Report("A sentence.", ""), (f"v{number}",)) for number in range(3)]
RESULT = Evaluation("probe", {}, Predictions(("study_id",), []), Table(), warnings=("first",))


def data_of(train: list[Study], held_out: list[Study]) -> Data:
    return Data(cast(Any, None), train, held_out, cast(Any, None))


def test_a_model_of_other_studies_or_another_division_is_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.yaml").write_text("name: run\n")
    config, measured = load_config(tmp_path / "run.yaml"), data_of(STUDIES[:2], STUDIES[2:])
    trained = {
        "the same": (data_of(STUDIES[:2], STUDIES[2:]).fingerprint, False),
        "not known": (None, False),
        "divided otherwise": (data_of(STUDIES[1:], STUDIES[:1]).fingerprint, True),
        "one more": (data_of(STUDIES, []).fingerprint, True),
    }
    for name, (fingerprint, told) in trained.items():
        about = {"path": "runs/x", "sha256": "0", "data_fingerprint": fingerprint}
        finish(tmp_path / name, RESULT, config, measured, about)
        assert (
            json.loads((tmp_path / name / "metrics.json").read_text())["warnings"] == ["first", OTHER_DATA][: 1 + told]
        )
        assert ("no patient of the test set was among them" in " ".join(capsys.readouterr().out.split())) == told
    finish(tmp_path / "untrained", RESULT, config, measured, {"path": None, "sha256": None})


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
