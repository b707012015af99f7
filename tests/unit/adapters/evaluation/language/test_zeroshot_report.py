"""Zero-shot reading by hand: areas, means over all findings and those with a place, rows, and what was asked."""

import io
import math

import torch
from rich.console import Console

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.language.zeroshot_report import ZeroShotOutcome, zeroshot_report
from simcrop.adapters.evaluation.output import Evaluation
from simcrop.core.data.study import Report, Study
from simcrop.core.evaluation.classification import Predicted
from simcrop.core.evaluation.prompt_features import ReadPrompts
from simcrop.core.evaluation.zeroshot import Prompts
from simcrop.core.reports.prompts import PromptTexts

NAMES = ("Nodule", "Effusion", "Rare")
STUDIES = [Study(f"s{n}", f"p{n}", Report("", ""), (f"v{n}",)) for n in range(4)]
TRUTH = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]], dtype=torch.bool)
SCORES = torch.tensor([[0.9, 0.4, 0.1], [0.8, 0.3, 0.1], [0.1, 0.2, 0.1], [0.2, 0.1, 0.1]], dtype=torch.float64)
ONE = torch.zeros(1, 2)


def predicted(scores: torch.Tensor) -> Predicted:
    return Predicted(scores, TRUTH, [study.patient_id for study in STUDIES], False, torch.ones(3, dtype=torch.bool))


def report(*, placed: frozenset[str] = frozenset({"Nodule"}), bootstrap: int = 0) -> Evaluation:
    texts = PromptTexts(tuple(f"Nodule {n}." for n in range(9)), ("No nodule.",))
    prompts = {name: ReadPrompts(Prompts(ONE, ONE), texts, name == "Nodule") for name in NAMES}
    outcome = ZeroShotOutcome(NAMES, STUDIES, predicted(SCORES), predicted(-SCORES), prompts, placed, ["read this"])
    return zeroshot_report(outcome, EvaluationSettings(bootstrap=bootstrap), seed=0)


def test_areas_by_finding_and_their_means() -> None:
    metrics = report().metrics
    areas = {name: metrics["findings"][name]["auroc"]["value"] for name in NAMES}
    assert (areas["Nodule"], areas["Effusion"]) == (1.0, 0.25)
    assert math.isnan(areas["Rare"])
    assert metrics["auroc"]["value"] == 0.625
    assert metrics["auroc_with_place"]["value"] == 1.0
    assert (metrics["auroc_asserted"]["value"], metrics["auroc_asserted_with_place"]["value"]) == (0.375, 0.0)
    assert report(placed=frozenset()).metrics["auroc_with_place"]["value"] == 0.625


def test_a_finding_of_one_class_is_told_after_the_other_notes() -> None:
    assert list(report().warnings) == ["read this", "Rare: not measured, the test set has one class alone"]


def test_what_was_asked_is_counted_and_shown_in_part() -> None:
    asked = report().metrics["findings"]["Nodule"]["prompts"]
    assert (asked["source"], asked["num_present"], asked["num_absent"]) == ("training reports", 9, 1)
    assert list(asked["present"]) == [f"Nodule {n}." for n in range(5)]
    assert report().metrics["findings"]["Effusion"]["prompts"]["source"] == "sentences of their own"


def test_there_is_a_row_a_study_and_finding() -> None:
    rows = report().predictions.rows
    assert len(rows) == 12
    assert list(rows[3:5]) == [("s1", "p1", "Nodule", 1, "0.8", "-0.8"), ("s1", "p1", "Effusion", 1, "0.3", "-0.3")]


def test_the_table_has_both_means_where_some_findings_have_a_place() -> None:
    for placed, told in ((frozenset({"Nodule"}), True), (frozenset(NAMES), False), (frozenset[str](), False)):
        console = Console(record=True, width=110, file=io.StringIO())
        console.print(report(placed=placed).table)
        assert ("mean over those with a place" in console.export_text()) == told
