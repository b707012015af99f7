"""The linear probe and the nearest neighbours on forty small studies."""

from pathlib import Path

import numpy as np
import pytest
from support.labelled_runs import Evaluate, Setting, evaluate

from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.system.provenance import weights_sha256
from simcrop.compose.evaluation import labelled_task
from simcrop.compose.evaluation.probe import knn, probe
from simcrop.compose.models import untrained_encoder
from simcrop.core.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_probe_reads_what_is_there_and_nothing_else(setting: Setting, tmp_path: Path) -> None:
    content = evaluate(probe, setting.findings, tmp_path, checkpoint=setting.run)
    metrics = content["metrics"]
    assert metrics["labels"]["Bright"]["auroc"]["value"] == 1.0
    assert 0.1 < metrics["labels"]["Noise"]["auroc"]["value"] < 0.9
    assert {name: metrics[name] for name in ("num_learned_from", "num_selection", "num_test")} == {
        "num_learned_from": 24,
        "num_selection": 4,
        "num_test": 16,
    }
    assert metrics["chosen"]["inverse_penalty"] in (0.01, 1.0)
    assert content["checkpoint"]["path"] == str(setting.run)
    assert content["checkpoint"]["encoder_sha256"] == weights_sha256(compose.load_encoder(setting.run))
    assert content["warnings"] == []
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.json", "predictions.csv", "pictures", "probe"}
    assert (tmp_path / "pictures" / "roc.png").stat().st_size > 1000


def test_without_a_checkpoint_the_encoder_is_that_of_an_untrained_run(setting: Setting, tmp_path: Path) -> None:
    config = load_config(setting.findings, ["seed=3"])
    untrained, _ = compose.build_model(config, reports=lambda: ["The heart is normal."])
    assert weights_sha256(untrained_encoder(config)) == weights_sha256(untrained.encoder)
    content = evaluate(probe, setting.findings, tmp_path, "seed=3")
    assert content["checkpoint"]["encoder_sha256"] == weights_sha256(untrained.encoder)
    assert content["warnings"] == [labelled_task.UNTRAINED]


@pytest.mark.parametrize(("what", "section"), [(probe, "probe"), (knn, "knn")])
def test_voxels_can_be_read_instead(setting: Setting, tmp_path: Path, what: Evaluate, section: str) -> None:
    content = evaluate(what, setting.findings, tmp_path, f"{section}.features=voxels")
    assert content["metrics"]["labels"]["Bright"]["auroc"]["value"] == 1.0
    assert content["metrics"]["chosen"]["features"] == "voxels"
    assert content["warnings"] == ["the features are the volumes' own voxels; no encoder was used"]


def test_neighbours_vote_for_findings_and_classes(setting: Setting, tmp_path: Path) -> None:
    metrics = evaluate(knn, setting.findings, tmp_path / "findings")["metrics"]
    assert metrics["labels"]["Bright"]["auroc"]["value"] == 1.0
    assert metrics["chosen"]["neighbours"] in (1, 2, 5, 10, 20)
    classes = evaluate(knn, setting.classes, tmp_path / "classes")["metrics"]
    assert classes["accuracy"]["value"] == 1.0
    with pytest.raises(ConfigError, match=r"^knn.counts: \[50\] are all above the 20 studies to learn from"):
        evaluate(knn, setting.findings, tmp_path / "none", "knn.counts=[50]")


def test_classes_are_probed_by_one_softmax(setting: Setting, tmp_path: Path) -> None:
    metrics = evaluate(probe, setting.classes, tmp_path)["metrics"]
    assert metrics["labels_are"] == "exclusive classes"
    assert (metrics["accuracy"]["value"], metrics["f1_macro"]["value"]) == (1.0, 1.0)
    scores = np.loadtxt(tmp_path / "predictions.csv", delimiter=",", skiprows=1, usecols=4).reshape(16, 3)
    np.testing.assert_allclose(scores.sum(1), 1.0, atol=1e-6)
