"""Predictions as they are written and printed."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.classification.report import Outcome, classification_report
from simcrop.adapters.evaluation.output import write_evaluation
from simcrop.core.data.study import Report, Study
from simcrop.core.evaluation.classification import Predicted
from simcrop.core.evaluation.labels import LearnedFrom
from simcrop.core.evaluation.settings import LabelSettings

NAMES = ("Good", "Poor", "Unlearned", "Absent")
SETTINGS = LabelSettings(percent=10), EvaluationSettings(bootstrap=40, confidence=0.9)


def outcome(*, exclusive: bool = False, n: int = 60) -> Outcome:
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(n, 4, generator=generator, dtype=torch.float64)
    if exclusive:
        truth = torch.nn.functional.one_hot(torch.arange(n) % 4, 4).bool()
        scores = (noise + 2 * truth) / (noise + 2 * truth).sum(1, keepdim=True)
    else:
        truth = torch.rand(n, 4, generator=generator) < 0.5
        truth[:, 3] = False
        scores = noise.clone()
        scores[:, 0] = 0.6 * truth[:, 0] + 0.4 * noise[:, 0]
        scores[:, 2] = 0.5
    learned = torch.tensor([True, True, False, True])
    studies = [Study(f"s{i}", f"p{i // 2}", Report("", ""), (f"v{i}",)) for i in range(n)]
    predicted = Predicted(scores, truth, [study.patient_id for study in studies], exclusive, learned)
    learned_from = LearnedFrom(12, 9, (5, 6, 0, 3))
    return Outcome("probe", NAMES, studies, predicted, learned_from, studies[:3], {"inverse_penalty": 1.0}, ["A note."])


def test_files_and_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = outcome()
    report = classification_report(made, *SETTINGS, seed=0)
    write_evaluation(tmp_path, report, {"checkpoint": {"path": None}})
    metrics = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert (metrics["protocol"], metrics["percent"], metrics["labels_are"]) == ("honest", 10, "findings")
    counts = {key: value for key, value in metrics.items() if key.startswith("num_")}
    assert counts == {
        "num_learned_from": 12,
        "num_learned_from_patients": 9,
        "num_selection": 3,
        "num_selection_patients": 2,
        "num_test": 60,
        "num_test_patients": 30,
    }
    assert metrics["chosen"] == {"inverse_penalty": 1.0}
    good, absent = metrics["labels"]["Good"], metrics["labels"]["Absent"]
    assert good["auroc"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert (good["num_positive_learned"], absent["num_positive_test"]) == (5, 0)
    assert absent["auroc"] == {"value": None, "low": None, "high": None}
    assert metrics["labels"]["Unlearned"]["f1"]["value"] is None
    assert metrics["auroc"]["value"] == pytest.approx((1.0 + metrics["labels"]["Poor"]["auroc"]["value"]) / 2)
    assert metrics["auroc"]["low"] < metrics["auroc"]["value"] < metrics["auroc"]["high"]

    rows = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    assert len(rows) == 60 * 4
    assert rows[4] == {"study_id": "s1", "patient_id": "p0", "label": "Good", "truth": rows[4]["truth"],
                       "score": rows[4]["score"]}  # fmt: skip
    assert float(rows[4]["score"]) == pytest.approx(made.predicted.scores[1, 0].item(), rel=1e-8)
    assert int(rows[4]["truth"]) == int(made.predicted.truth[1, 0])
    assert {row["score"] for row in rows if row["label"] == "Unlearned"} == {""}

    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if line.strip().startswith("Good"))
    assert line.split()[:4] == ["Good", "5", str(int(made.predicted.truth[:, 0].sum())), "1.000"]
    warnings = " ".join(printed.split())
    assert "note: A note." in warnings
    assert "Unlearned: not measured, as the studies learned from have one class of it alone" in warnings
    assert "Absent: no area under the curve, as the test set has one class of it alone" in warnings
    assert "of 12 and 60" in warnings


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_visible()]


def test_the_picture_has_the_mean_and_a_panel_for_each_label() -> None:
    report = classification_report(outcome(), *SETTINGS, seed=0)
    figure = report.figures["roc"]
    assert titles(figure) == ["Mean over labels", *NAMES]
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts.count("not measured") == 2
    assert "AUC 1.00\n1.00 to 1.00" in texts
    assert "90 % intervals over patients" in figure.get_suptitle()
    without = classification_report(outcome(), LabelSettings(), EvaluationSettings(bootstrap=0), seed=0)
    assert "intervals" not in without.figures["roc"].get_suptitle()
    assert math.isnan(without.metrics["auroc"]["low"])


def test_classes_have_their_own_metrics() -> None:
    report = classification_report(outcome(exclusive=True), *SETTINGS, seed=0)
    assert {"accuracy", "f1_macro", "auroc"} <= report.metrics.keys()
    assert not {"f1_micro", "precision_micro"} & report.metrics.keys()
    assert report.metrics["labels_are"] == "exclusive classes"
    assert report.metrics["accuracy"]["value"] == 1.0
    assert all(row[4] != "" for row in report.predictions.rows), "a class that was not learned still has a score"
