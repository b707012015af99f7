"""What stands below every evaluation's table: whether the model may have been trained on the test set."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from rich.table import Table

from simcrop.adapters.config.settings import load_config
from simcrop.adapters.evaluation.output import Evaluation, Predictions
from simcrop.compose.data import Data
from simcrop.compose.evaluation.common import OTHER_DATA, finish
from simcrop.core.data.study import Report, Study

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
