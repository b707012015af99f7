"""Averages of grounding, the halves that thresholds are chosen on, and which studies are drawn."""

import io
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from rich.console import Console

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.language.grounding_report import THRESHOLDS, GroundedSentence, grounding_report, halves
from simcrop.adapters.evaluation.output import Evaluation
from simcrop.core.data.study import Report, Study
from simcrop.core.evaluation.grounding import Pointing
from simcrop.core.evaluation.looking import ComparedMap
from simcrop.core.evaluation.map_overlap import overlap

SETTINGS = EvaluationSettings(bootstrap=200)


def sentence(patient: int, finding: str, *, hit: bool, seed: int, reported: bool = True) -> GroundedSentence:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(60, generator=generator) < 0.2
    similarity = 0.3 * mask + 0.4 * torch.rand(60, generator=generator)
    study = Study(f"s{patient}", f"p{patient}", Report("", ""), (f"v{patient}",))
    pointing = Pointing(finding, hit, 0.125, 0.5 + 0.01 * seed)
    inside, among = torch.arange(12) % 6 == patient % 3, torch.arange(12) < 6
    covered = overlap(similarity, mask, THRESHOLDS)
    evidence = Pointing(finding, not hit, 0.125, 0.25)
    compared = ComparedMap(
        study, f"sentence {seed}", pointing, pointing, evidence, inside, among, own_above_others=0.75
    )
    return GroundedSentence(compared, covered, reported)


def report(sentences: Sequence[GroundedSentence], settings: EvaluationSettings = SETTINGS) -> Evaluation:
    return grounding_report(sentences, settings, seed=0, figures={}, warnings=["read this"])


MANY = [sentence(n, "often", hit=n % 4 == 0, seed=n) for n in range(16)]
MANY += [sentence(n, "seldom", hit=n < 3, seed=20 + n) for n in range(4)]


def test_findings_weigh_the_same_however_often_they_occur() -> None:
    metrics = report(MANY).metrics
    assert (metrics["num_studies"], metrics["num_sentences"]) == (16, 20)
    often, seldom = (metrics["findings"][name] for name in ("often", "seldom"))
    assert (often["hit_rate"]["value"], seldom["hit_rate"]["value"]) == (0.25, 0.75)
    assert metrics["hit_rate"]["value"] == 0.5
    assert metrics["hit_rate_chance"]["value"] == 0.125
    assert often["auc"]["value"] == pytest.approx(np.mean([0.5 + 0.01 * n for n in range(16)]))
    assert (often["num_sentences"], seldom["num_sentences"]) == (16, 4)


def test_what_the_other_patients_tell_stands_beside() -> None:
    # Of patients 0, 1, 2, 3 the place is patch 0, 1, 2, 0: the others tell those of 0 and 3.
    seldom = report(MANY).metrics["findings"]["seldom"]
    assert seldom["hit_rate_blind"]["value"] == 0.5
    assert seldom["auc_blind"]["value"] == pytest.approx((0.8 + 0.3 + 0.3 + 0.8) / 4)
    once = report([*MANY, sentence(3, "once", hit=True, seed=3)]).metrics
    assert math.isnan(once["findings"]["once"]["hit_rate_blind"]["value"])
    assert not math.isnan(once["hit_rate_blind"]["value"])


def test_looking_and_what_no_look_tells_are_averaged_and_shown() -> None:
    result = report(MANY)
    metrics = result.metrics
    assert metrics["hit_rate_evidence"]["value"] == metrics["hit_rate_no_look"]["value"] == 0.5
    assert metrics["findings"]["often"]["hit_rate_evidence"]["value"] == 0.75
    assert metrics["auc_evidence"] == {"value": 0.25, "low": 0.25, "high": 0.25}
    assert metrics["own_above_others"]["value"] == 0.75
    assert metrics["auc_blind_reading"]["value"] == metrics["auc_blind"]["value"]  # no sentence names a place
    console = Console(record=True, width=110, file=io.StringIO())
    console.print(result.table)
    [row] = [line for line in console.export_text().splitlines() if "mean over findings" in line]
    assert row.split()[9:11] == ["0.250", "0.750"]


def test_intervals_are_those_of_drawing_patients_again() -> None:
    found = report(MANY, EvaluationSettings(bootstrap=4000)).metrics["findings"]["often"]["hit_rate"]
    hits = np.array([n % 4 == 0 for n in range(16)])
    draws = np.random.default_rng(0).choice(hits, (20_000, 16)).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    assert (found["low"], found["high"]) == (pytest.approx(low, abs=0.07), pytest.approx(high, abs=0.07))
    # Sixteen times the sentences of one patient are one patient still.
    alone = [sentence(0, "often", hit=n % 4 == 0, seed=n) for n in range(16)]
    found = report(alone).metrics["findings"]["often"]["hit_rate"]
    assert (found["low"], found["high"]) == (0.25, 0.25)


def test_thresholds_come_from_the_other_half_and_the_same_data_s_own_are_named_so() -> None:
    result = report(MANY)
    rows = [dict(zip(result.predictions.columns, row, strict=True)) for row in result.predictions.rows]
    half = halves([row["patient_id"] for row in rows], 0)
    for name in ("often", "seldom"):
        curves = torch.stack([each.overlap.dice for each in MANY if each.pointing.finding == name])
        own = [index for index, row in enumerate(rows) if row["finding"] == name]
        side = torch.tensor([half[index] for index in own])
        for choose in (True, False):
            expected = float(THRESHOLDS[curves[side != choose].mean(0).argmax()])
            there = {row["threshold"] for row in (rows[own[i]] for i in range(len(own)) if side[i] == choose)}
            assert there == {f"{expected:.6g}"}
        best = float(curves.mean(0).max())
        assert result.metrics["findings"][name]["dice_same_data"]["value"] == pytest.approx(best)
        assert result.metrics["findings"][name]["dice"]["value"] <= best


def test_a_finding_of_one_half_alone_has_no_overlap_and_says_so() -> None:
    result = report([*MANY, sentence(3, "once", hit=True, seed=3)])
    once = result.metrics["findings"]["once"]
    assert (once["hit_rate"]["value"], math.isnan(once["dice"]["value"])) == (1.0, True)
    assert not math.isnan(result.metrics["dice"]["value"])
    assert "once: no IoU or Dice, only one half of the patients has it" in result.warnings
    assert "read this" in result.warnings


def test_without_a_bootstrap_there_are_no_intervals() -> None:
    result = report(MANY, EvaluationSettings(bootstrap=0))
    assert math.isnan(result.metrics["hit_rate"]["low"])
    console = Console(record=True, width=110, file=io.StringIO())
    console.print(result.table)
    assert "interval, from" not in console.export_text()


def test_the_table_fits_a_log_with_the_longest_finding() -> None:
    long = "Coronary artery wall calcification"
    console = Console(record=True, width=110, file=io.StringIO())
    console.print(report([sentence(n % 40, long, hit=True, seed=n % 40) for n in range(1200)]).table)
    [row] = [line for line in console.export_text().splitlines() if long in line]
    assert row.split()[4:6] == ["1200", "1.000"]


def test_halves_are_of_equal_size_and_keep_patients_whole() -> None:
    patients = [f"p{number % 40}" for number in range(100)]
    half = halves(patients, 0)
    assert len({(patient, side) for patient, side in zip(patients, half, strict=True)}) == 40
    assert sum(dict(zip(patients, half, strict=True)).values()) == 20
    assert half != halves(patients, 1)
    shuffled = halves(patients[::-1], 0)
    assert half == shuffled[::-1]
