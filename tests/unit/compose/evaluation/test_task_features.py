"""Read-outs that a checkpoint allows, and what is said where it lacks prototypes."""

from pathlib import Path

import pytest
from support.labelled_runs import Setting, evaluate

from simcrop.compose.evaluation.probe import knn, probe
from simcrop.core.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")
ALL = ["encoder", "max", "layers", "prototypes"]


def test_auto_keeps_what_tells_the_selection_patients_best(setting: Setting, tmp_path: Path) -> None:
    for what in (probe, knn):
        chosen = evaluate(what, setting.findings, tmp_path, checkpoint=setting.run)["metrics"]["chosen"]
        assert list(chosen["read_outs"]) == ALL
        best = max(score["auroc"] for score in chosen["read_outs"].values())
        assert chosen["read_outs"][chosen["features"]]["auroc"] == chosen["auroc"] == best


def test_one_read_out_is_taken_where_it_is_named(setting: Setting, tmp_path: Path) -> None:
    options = ("probe.features=prototypes",)
    chosen = evaluate(probe, setting.findings, tmp_path, *options, checkpoint=setting.run)["metrics"]["chosen"]
    assert chosen["features"] == "prototypes"
    assert "read_outs" not in chosen


def test_an_untrained_encoder_has_no_prototypes(setting: Setting, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^probe\.features: no prototypes \(there is no --checkpoint"):
        evaluate(probe, setting.findings, tmp_path / "none", "probe.features=prototypes")
    chosen = evaluate(probe, setting.findings, tmp_path / "auto")["metrics"]["chosen"]
    assert list(chosen["read_outs"]) == ALL[:3]
