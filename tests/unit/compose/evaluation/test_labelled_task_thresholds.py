"""Thresholds are chosen by the selection patients: the labels of the test set cannot change them."""

import csv
import json
import math
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from support.labelled_data import LABELS, NUM_STUDIES
from support.labelled_runs import Evaluate, Setting, evaluate

from simcrop.compose.evaluation.finetune import finetune
from simcrop.compose.evaluation.probe import knn, probe

NUM_TEST = 16


@cache
def features(folder: Path) -> Path:
    """Features that tell Bright well, of whatever made them."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(NUM_STUDIES, 5)) + np.arange(NUM_STUDIES)[:, None] % 2
    np.savez(folder / "features.npz", names=[f"s{n}" for n in range(NUM_STUDIES)], features=rows)
    return folder / "features.npz"


def relabelled(setting: Setting, out: Path, bright: list[bool]) -> Path:
    """The manifest with other labels of the test set."""
    table = setting.findings.parent / "studies" / "studies.csv"
    rows = list(csv.DictReader(table.open()))
    for row, present in zip(rows[-NUM_TEST:], bright, strict=True):
        row |= {"Bright": str(int(present)), "Noise": str(int(not present))}
    path = table.with_name(f"{out.name}.csv")
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def thresholds(found: dict[str, Any]) -> dict[str, Any]:
    labels = found["metrics"]["labels"]
    return {name: labels[name]["at_threshold"]["threshold"] for name in LABELS}


@pytest.mark.parametrize("what", [probe, knn])
def test_labels_of_the_test_set_change_no_threshold(setting: Setting, what: Evaluate) -> None:
    table = features(setting.findings.parent)
    options = (f"labels.features={table}", "evaluation.bootstrap=0")

    def chosen(bright: list[bool]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            manifest = relabelled(setting, Path(folder), bright)
            return thresholds(evaluate(what, setting.findings, Path(folder), *options, f"data.manifest={manifest}"))

    expected = chosen([True, False] * (NUM_TEST // 2))
    assert expected["Bright"] is not None

    @settings(max_examples=4, deadline=None, phases=[Phase.generate])
    @given(st.lists(st.booleans(), min_size=NUM_TEST, max_size=NUM_TEST).filter(lambda found: len(set(found)) == 2))
    def stay(bright: list[bool]) -> None:
        assert chosen(bright) == expected

    stay()


def test_the_numbers_at_them_are_those_of_the_predictions(
    setting: Setting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (f"labels.features={features(setting.findings.parent)}", "evaluation.bootstrap=0")
    found = evaluate(probe, setting.findings, tmp_path, *options)
    rows = [row for row in csv.DictReader((tmp_path / "predictions.csv").open()) if row["label"] == "Bright"]
    truth = np.array([int(row["truth"]) for row in rows])
    scores = np.array([float(row["score"]) for row in rows])
    bright = found["metrics"]["labels"]["Bright"]
    at = bright["at_threshold"]
    for numbers, threshold in ((at, at["threshold"]), (bright, 0.5)):
        said = scores >= threshold
        for name, expected in (
            ("f1", sk.f1_score(truth, said)),
            ("f1_weighted", sk.f1_score(truth, said, average="weighted")),
            ("accuracy", sk.accuracy_score(truth, said)),
            ("precision", sk.precision_score(truth, said)),
            ("recall", sk.recall_score(truth, said)),
            ("specificity", sk.recall_score(1 - truth, ~said)),
        ):
            assert numbers[name]["value"] == pytest.approx(expected), name
    known = [name for name, value in thresholds(found).items() if value is not None]
    mean = np.mean([found["metrics"]["labels"][name]["at_threshold"]["f1_weighted"]["value"] for name in known])
    assert found["metrics"]["at_thresholds"]["f1_weighted"]["value"] == pytest.approx(mean)
    printed = " ".join(capsys.readouterr().out.split())
    assert "at thresholds chosen apart from the test set" in printed
    assert "mean at 0.5" in printed


def test_fine_tuning_keeps_the_thresholds_that_it_is_measured_at(setting: Setting, tmp_path: Path) -> None:
    found = evaluate(finetune, setting.findings, tmp_path / "a", "finetune.steps=4")
    [manifest] = (tmp_path / "a" / "checkpoints").glob("step_*/manifest.json")
    kept = json.loads(manifest.read_text())["classifier"]["thresholds"]
    assert list(thresholds(found).values()) == kept
    again = evaluate(finetune, setting.findings, tmp_path / "b", "finetune.steps=0", checkpoint=tmp_path / "a")
    assert thresholds(again) == thresholds(found)


def test_exclusive_classes_have_none(setting: Setting, tmp_path: Path) -> None:
    metrics = evaluate(knn, setting.classes, tmp_path, "evaluation.bootstrap=0")["metrics"]
    assert "at_thresholds" not in metrics
    assert not any("at_threshold" in each for each in metrics["labels"].values())
    assert not math.isnan(metrics["f1_weighted"]["value"])
