"""The authors' linear probe: its recipe, and its faults by name."""

import json
from pathlib import Path

import pytest
from support.labelled_runs import Setting, evaluate, radchestct_options, write_radchestct

from simcrop.adapters.config.settings import load_config
from simcrop.compose.evaluation.probe import probe

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_published_probe_names_its_faults(setting: Setting, tmp_path: Path) -> None:
    options = ("labels.protocol=published", "probe.steps=13", "probe.lr=0.1", "labels.names=[Bright]")
    content = evaluate(probe, setting.findings, tmp_path, *options, checkpoint=setting.run)
    metrics, warnings = content["metrics"], " ".join(content["warnings"])
    assert metrics["chosen"]["auroc"] == metrics["auroc"]["value"] == 1.0, "chosen on the test set itself"
    assert (metrics["num_learned_from"], metrics["num_selection"]) == (24, 0)
    assert (metrics["chosen"]["steps"], metrics["chosen"]["warmup_steps"]) == (13, 2)
    assert "the best step was chosen on the test set" in warnings
    assert "learning rate would rise again" in warnings
    assert (
        "published protocol: the authors' lists and their percentages count volumes; here the first reconstruction of "
        "each study alone is read (40 of 40 volumes), and labels.percent is of the 12 patients outside the test set"
    ) in content["warnings"]
    assert "no numbers for manifest at 100 %: those of ct_rate at 100 % are taken" in warnings
    assert {path.name for path in tmp_path.iterdir()} == {
        "metrics.json", "predictions.csv", "pictures", "training.jsonl"
    }  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    scored = [row["step"] for row in rows if "selection_loss" in row]
    assert scored == [11, 12, 13], "one step is an epoch here, and the authors score from the eleventh on"
    assert "from the eleventh on" in warnings
    assert "drop path" in warnings


def test_a_stopped_published_probe_goes_on(setting: Setting, tmp_path: Path) -> None:
    options = ["labels.protocol=published", "probe.steps=6", "probe.batch_size=5"]
    expected = evaluate(probe, setting.findings, tmp_path / "undisturbed", *options)
    asked = iter([False] * 2 + [True])
    config = load_config(setting.findings, options)
    assert not probe(config, checkpoint=None, out=tmp_path / "stopped", should_stop=lambda: next(asked))
    [weights] = (tmp_path / "stopped" / "training").glob("step_*/model.safetensors")
    assert weights.stat().st_size < 2000, "the encoder is not stored"
    found = evaluate(probe, setting.findings, tmp_path / "stopped", *options)
    assert found["metrics"] == expected["metrics"]


def test_the_copied_column_of_rad_chestct_is_reproduced_under_the_published_protocol(
    setting: Setting, tmp_path: Path
) -> None:
    options = radchestct_options(write_radchestct(tmp_path / "rad"))
    honest = evaluate(probe, setting.findings, tmp_path / "honest", *options)
    assert list(honest["metrics"]["labels"]) == ["Pericardial effusion", "Lung nodule", "Pleural effusion"]
    positives = {name: label["num_positive_test"] for name, label in honest["metrics"]["labels"].items()}
    assert (positives["Pericardial effusion"], positives["Pleural effusion"]) == (3, 4)

    options += ["labels.protocol=published", "probe.steps=4"]
    published = evaluate(probe, setting.findings, tmp_path / "published", *options)
    positives = {name: label["num_positive_test"] for name, label in published["metrics"]["labels"].items()}
    assert (positives["Pericardial effusion"], positives["Pleural effusion"]) == (4, 4)
    warnings = " ".join(published["warnings"])
    assert "the column Pericardial effusion is a copy of Pleural effusion" in warnings
    assert "chosen on the test set" not in warnings, "here the authors have a validation list of its own"
    assert "count volumes" not in warnings, "here every volume is a patient's only one"
    assert (published["metrics"]["num_learned_from"], published["metrics"]["num_selection"]) == (10, 2)
