"""Read-outs that a checkpoint allows, what is said where it lacks prototypes, and features of other models."""

from pathlib import Path

import numpy as np
import pytest
from support.labelled_runs import Evaluate, Setting, evaluate

from simcrop.adapters.config.settings import load_config
from simcrop.adapters.formats.feature_tables import read_table
from simcrop.compose.applying import ScanOptions
from simcrop.compose.embedding import EmbedOptions, embed
from simcrop.compose.evaluation.finetune import finetune
from simcrop.compose.evaluation.probe import knn, probe
from simcrop.core.errors import ConfigError, DataError

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


@pytest.fixture(scope="module")
def table(setting: Setting, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `simcrop embed` makes of the studies' volumes."""
    out = tmp_path_factory.mktemp("table")
    return embed([setting.findings], str(setting.run), out, EmbedOptions(scans=ScanOptions("cpu", workers=1))).path


@pytest.mark.parametrize(("what", "section"), [(probe, "probe"), (knn, "knn")])
def test_a_table_is_measured_as_the_encoder_that_made_it(
    setting: Setting, table: Path, tmp_path: Path, what: Evaluate, section: str
) -> None:
    named = evaluate(what, setting.findings, tmp_path / "a", f"{section}.features=encoder", checkpoint=setting.run)
    options = (f"labels.features={table}", f"data.prepared={tmp_path / 'prepared'}")
    given = evaluate(what, setting.findings, tmp_path / "b", *options)
    assert given["metrics"]["labels"] == named["metrics"]["labels"]
    assert given["metrics"]["chosen"]["features"] == "table"
    assert given["warnings"] == [f"the features are those of {table}; no encoder of simcrop made them"]
    assert not [*tmp_path.glob("prepared/*")], "no volume is read"


def test_rows_go_by_the_name_of_the_study_or_of_its_volume(setting: Setting, table: Path, tmp_path: Path) -> None:
    expected = evaluate(knn, setting.findings, tmp_path / "a", f"labels.features={table}")["metrics"]["labels"]
    rows = read_table(table)
    studies = load_config(setting.findings).data.manifest
    assert studies is not None
    names = dict(line.split(",")[:2] for line in studies.read_text().splitlines()[1:])
    for number, change in enumerate((lambda name: f"elsewhere/{name}", lambda name: name.removesuffix(".nii.gz"))):
        path = tmp_path / f"{number}.npz"
        np.savez(path, names=[change(name) for name in rows], features=[*rows.values()])
        assert names.keys() == rows.keys()
        measured = evaluate(knn, setting.findings, tmp_path / str(number), f"labels.features={path}")
        assert measured["metrics"]["labels"] == expected


def test_studies_without_a_row_of_finite_numbers_are_named(setting: Setting, table: Path, tmp_path: Path) -> None:
    rows = read_table(table)
    first, second, *_ = rows
    lacking = tmp_path / "lacking.npz"
    left = {name: row for name, row in rows.items() if name != first} | {second: np.full(12, np.nan)}
    np.savez(lacking, names=[*left], features=[*left.values()])
    with pytest.raises(DataError, match=r"lacking\.npz: has no row of finite numbers for the study .* \(and 1 more"):
        evaluate(probe, setting.findings, tmp_path / "out", f"labels.features={lacking}")


def test_a_table_goes_with_no_checkpoint_no_read_out_and_no_training(
    setting: Setting, table: Path, tmp_path: Path
) -> None:
    option = f"labels.features={table}"
    with pytest.raises(ConfigError, match=r"^--checkpoint: the features of .* are made already; name one of the two"):
        evaluate(probe, setting.findings, tmp_path, option, checkpoint=setting.run)
    with pytest.raises(ConfigError, match=r"^probe\.features: max is not read where labels\.features names a table"):
        evaluate(probe, setting.findings, tmp_path, option, "probe.features=max")
    with pytest.raises(ConfigError, match=r"^labels\.features: eval probe and eval knn alone read a table"):
        evaluate(finetune, setting.findings, tmp_path, option)
