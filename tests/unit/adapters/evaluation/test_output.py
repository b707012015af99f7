"""Files of an evaluation: metrics.json stands for a whole result, and for this one alone."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from rich.table import Table

from simcrop.adapters.evaluation.output import Evaluation, Predictions, write_evaluation


def evaluation() -> Evaluation:
    table = Table("number", title="A result")
    table.add_row("0.5")
    return Evaluation(
        task="probe",
        metrics={"auroc": 0.5, "none": float("nan"), "nested": [{"infinite": float("inf")}]},
        predictions=Predictions(("study_id", "score"), [("a, b", 0.25), ("c", 1.0)]),
        table=table,
        figures={"roc": Figure()},
        warnings=("few studies [of] all",),
    )


def test_files_hold_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "folder"
    write_evaluation(out, evaluation(), {"checkpoint": {"path": "runs/x"}})
    content = json.loads((out / "metrics.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert content["task"] == "probe"
    assert content["metrics"] == {"auroc": 0.5, "none": None, "nested": [{"infinite": None}]}
    assert content["warnings"] == ["few studies [of] all"]
    assert content["checkpoint"] == {"path": "runs/x"}
    assert {"versions", "git_commit"} <= set(content)
    with (out / "predictions.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["study_id", "score"], ["a, b", "0.25"], ["c", "1.0"]]
    assert (out / "pictures" / "roc.png").read_bytes()[:4] == b"\x89PNG"
    printed = capsys.readouterr().out
    assert "A result" in printed
    assert "note: few studies [of] all" in printed
    assert f"{out}: metrics.json, predictions.csv, pictures/" in printed


def test_an_evaluation_that_breaks_off_leaves_no_older_metrics_beside_its_own_files(tmp_path: Path) -> None:
    write_evaluation(tmp_path, evaluation(), {})

    class Broken(Figure):
        def savefig(self, *args: object, **kwargs: object) -> None:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_evaluation(tmp_path, replace(evaluation(), figures={"roc": Broken()}), {})
    assert not (tmp_path / "metrics.json").exists()


def test_further_tables_are_printed_below_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    below = Table("number", title="Below")
    below.add_row("0.5")
    write_evaluation(tmp_path, replace(evaluation(), more_tables=(below,)), {})
    printed = capsys.readouterr().out
    assert printed.index("A result") < printed.index("Below") < printed.index("few studies")
