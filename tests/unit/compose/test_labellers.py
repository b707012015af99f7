"""A kept probe labels scans as its evaluation did, and knows which model's features it reads."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.labelled_runs import Setting, evaluate
from support.labelled_runs import trained as trained_run

import simcrop
from simcrop.adapters.formats.feature_tables import read_table
from simcrop.compose.applying import Applied, ScanOptions
from simcrop.compose.embedding import EmbedOptions, embed
from simcrop.compose.evaluation.probe import probe
from simcrop.compose.predicting import PredictOptions, predict
from simcrop.core.errors import CheckpointError


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return trained_run(tmp_path_factory.mktemp("labellers"))


def predicted(setting: Setting, checkpoint: Path, out: Path) -> Applied:
    return predict([setting.findings], str(checkpoint), out, PredictOptions(scans=ScanOptions("cpu", 16, 1)))


@pytest.mark.parametrize("features", ["encoder", "layers", "prototypes"])
def test_a_probe_gives_the_probabilities_that_evaluation_measured(
    setting: Setting, tmp_path: Path, features: str
) -> None:
    evaluate(probe, setting.findings, tmp_path / "probe_10", f"probe.features={features}", checkpoint=setting.run)
    result = predicted(setting, tmp_path / "probe_10", tmp_path / "out")
    rows = read_table(result.path)
    with result.path.open() as file:
        names = next(csv.reader(file))[1:]
    with (tmp_path / "probe_10/predictions.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) >= 16 * 2
    for line in lines:
        own = rows[f"{line['study_id'][1:]}.nii.gz"][names.index(line["label"])]
        assert own == pytest.approx(float(line["score"]), abs=2e-6)
    about = json.loads((tmp_path / "out/predictions.json").read_text())
    bright = about["thresholds"]["Bright"]
    decided = {row[names.index("Bright")] >= bright: row[names.index("Bright: present")] for row in rows.values()}
    assert decided == {True: 1.0, False: 0.0}
    volume = setting.findings.parent / "studies/7.nii.gz"
    told = simcrop.load_classifier(tmp_path / "probe_10").predict(volume)
    assert told["Noise"] == pytest.approx(rows["7.nii.gz"][names.index("Noise")], abs=1e-6)


def test_a_probe_finds_its_model_beside_it_and_refuses_another(setting: Setting, tmp_path: Path) -> None:
    home = tmp_path / "here"
    shutil.copytree(setting.run, home / "run")
    evaluate(probe, setting.findings, home / "run/eval/probe", "probe.features=encoder", checkpoint=home / "run")
    home.rename(tmp_path / "there")
    moved = tmp_path / "there/run/eval/probe"
    assert predicted(setting, moved, tmp_path / "out").done == 40
    shutil.rmtree(tmp_path / "there/run/checkpoints")
    with pytest.raises(CheckpointError, match=r"probe: reads features of .*here/run with weights of sha256 \w+, which"):
        predicted(setting, moved, tmp_path / "out")
    with pytest.raises(CheckpointError, match="is no classifier; name what"):
        simcrop.load_classifier(setting.run)


def test_a_probe_of_no_checkpoint_s_features_is_not_kept(setting: Setting, tmp_path: Path) -> None:
    evaluate(probe, setting.findings, tmp_path / "out", "probe.features=encoder", checkpoint=setting.run)
    assert (tmp_path / "out/probe/probe.json").is_file()
    evaluate(probe, setting.findings, tmp_path / "out", "probe.features=voxels", checkpoint=setting.run)
    assert not (tmp_path / "out/probe").exists()
    table = embed([setting.findings], str(setting.run), tmp_path / "embedded", EmbedOptions()).path
    evaluate(probe, setting.findings, tmp_path / "table", f"labels.features={table}")
    assert not (tmp_path / "table/probe").exists()
    assert np.isfinite([*read_table(table).values()]).all()
