"""Retrieval by hand: both directions, chance, intervals, and what stands in the files."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.language.retrieval_report import RetrievalOutcome, retrieval_report
from simcrop.adapters.evaluation.output import Evaluation
from simcrop.core.data.study import Report, Study
from simcrop.core.evaluation.settings import RetrievalSettings

SCORES = torch.tensor([[0.9, 0.8, 0.1, 0.2], [0.1, 0.3, 0.4, 0.5], [0.3, 0.2, 0.5, 0.9], [0.2, 0.7, 0.6, 0.8]])


def studies(num: int) -> list[Study]:
    return [Study(f"s{n}", f"p{n}", Report("", ""), (f"v{n}",)) for n in range(num)]


def report(
    scores: torch.Tensor, same: torch.Tensor, *, bootstrap: int = 50, asked: RetrievalSettings | None = None
) -> Evaluation:
    outcome = RetrievalOutcome(studies(len(scores)), scores.double(), same, "equal", 3, ["read this"])
    return retrieval_report(outcome, asked or RetrievalSettings(), EvaluationSettings(bootstrap=bootstrap), seed=0)


def test_both_directions_by_hand() -> None:
    result = report(SCORES, torch.eye(4, dtype=torch.bool))
    assert [row[:4] for row in result.predictions.rows] == [
        ("s0", "p0", 1, 1),
        ("s1", "p1", 3, 3),
        ("s2", "p2", 2, 2),
        ("s3", "p3", 1, 2),
    ]
    assert [row[4:] for row in result.predictions.rows] == [("s0", "s0"), ("s3", "s0"), ("s3", "s3"), ("s3", "s2")]
    to_volume, to_report = (result.metrics[name] for name in ("report_to_volume", "volume_to_report"))
    assert (to_volume["recall_at_1"]["value"], to_report["recall_at_1"]["value"]) == (0.5, 0.25)
    assert (to_volume["median_rank"]["value"], to_report["median_rank"]["value"]) == (1, 2)
    assert (to_volume["recall_at_1"]["chance"], to_volume["median_rank"]["chance"]) == (0.25, 2)
    assert to_volume["recall_at_5"] == {"value": 1.0, "low": 1.0, "high": 1.0, "chance": 1.0}
    assert (result.metrics["num_reports_that_repeat"], result.warnings) == (0, ["read this"])


def test_reports_that_say_the_same_are_right_for_each_other() -> None:
    same = torch.eye(4, dtype=torch.bool)
    same[1, 3] = same[3, 1] = True
    result = report(SCORES, same)
    assert [row[2:4] for row in result.predictions.rows] == [(1, 1), (1, 2), (2, 2), (1, 2)]
    assert result.metrics["num_reports_that_repeat"] == 2
    assert result.metrics["report_to_volume"]["recall_at_1"]["chance"] == pytest.approx((1 + 2 + 1 + 2) / 16)


def test_intervals_hold_the_spread_over_patients() -> None:
    num = 60
    scores = torch.zeros(num, num)
    scores[range(0, num, 3), range(0, num, 3)] = 1  # every third is found at once, the others not at all
    found = report(scores, torch.eye(num, dtype=torch.bool), bootstrap=2000).metrics["report_to_volume"]["recall_at_1"]
    draws = np.random.default_rng(0).binomial(num, 1 / 3, 50_000) / num
    assert found["value"] == pytest.approx(1 / 3)
    assert (found["low"], found["high"]) == tuple(
        pytest.approx(q, abs=0.035) for q in np.quantile(draws, [0.025, 0.975])
    )


def test_the_table_shows_chance_beside_recall() -> None:
    console = Console(record=True, width=110, file=io.StringIO())
    console.print(report(SCORES, torch.eye(4, dtype=torch.bool), bootstrap=0).table)
    [row] = [line for line in console.export_text().splitlines() if "recall@1 " in line]
    assert row.split() == ["recall@1", "0.500", "-", "0.250", "0.250", "-", "0.250"]


def test_recall_is_told_for_the_numbers_that_are_asked_for_each_with_its_chance() -> None:
    result = report(SCORES, torch.eye(4, dtype=torch.bool), asked=RetrievalSettings(top=(3, 2)))
    for name, recalls in (("report_to_volume", (0.75, 1.0)), ("volume_to_report", (0.75, 1.0))):
        found = result.metrics[name]
        assert [key for key in found if key.startswith("recall")] == ["recall_at_2", "recall_at_3"]
        assert (found["recall_at_2"]["value"], found["recall_at_3"]["value"]) == recalls
        assert (found["recall_at_2"]["chance"], found["recall_at_3"]["chance"]) == (0.5, 0.75)
    assert (result.metrics["protocol"], result.metrics["num_repeats_left_out"]) == ("honest", 3)


def test_the_published_protocol_tells_its_four_numbers() -> None:
    num = 200
    result = report(torch.eye(num), torch.eye(num, dtype=torch.bool), asked=RetrievalSettings(protocol="published"))
    found = {key: each["chance"] for key, each in result.metrics["report_to_volume"].items() if "recall" in key}
    assert found == pytest.approx({f"recall_at_{k}": k / num for k in (5, 10, 50, 100)})
    assert "a report's own volume alone is right" in str(result.table.caption)
