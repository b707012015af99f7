"""Grounding through the command line, on a run of two steps."""

import json
import math
from pathlib import Path

import pytest
from support.language_run import NUM_HELD_OUT, NUM_STUDIES, Tiny, column, read, write_mask


def test_metrics_are_those_of_the_predictions_and_of_the_run(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny.evaluate("grounding", tmp_path, "grounding.pictures=1") == 0
    metrics, rows = read(tmp_path)
    assert metrics["num_sentences"] == len(rows) == metrics["findings"]["Lung nodule"]["num_sentences"]
    for name, key in (
        ("hit", "hit_rate"),
        ("chance", "hit_rate_chance"),
        ("auc", "auc"),
        ("iou", "iou"),
        ("dice", "dice"),
    ):
        assert metrics[key]["value"] == pytest.approx(column(rows, name).mean(), rel=1e-5)
    assert metrics["dice_same_data"]["value"] >= metrics["dice"]["value"]
    assert metrics["dice_same_data"]["value"] >= metrics["dice_chance"]["value"]
    for name in ("blind", "blind_reading", "no_look", "evidence"):
        assert 0 <= metrics[f"hit_rate_{name}"]["value"] <= 1
        assert metrics[f"auc_{name}"]["low"] <= metrics[f"auc_{name}"]["value"] <= metrics[f"auc_{name}"]["high"]
    assert 0 <= metrics["own_above_others"]["value"] <= 1
    # The summary at the end of the run measured the same sentences, but for those in other words.
    there = json.loads((tiny.run / "summary.json").read_text())["grounding_findings"]["Lung nodule"]
    reported = [row for row in rows if row["reported"] == "1"]
    assert len(reported) == there["num_sentences"]
    for name, key in (("hit", "hit_rate"), ("chance", "chance"), ("auc", "auc")):
        assert column(reported, name).mean() == pytest.approx(there[key], rel=1e-5)
    others = [row for row in rows if row["reported"] == "0"]
    assert {row["sentence"] for row in others} == {"Something like a nodule."}
    printed = capsys.readouterr().out
    assert f"{len(others)} sentences are not in their report word for word" in printed
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == {"findings", "best_1", "middle_1", "worst_1"}


def test_grounding_on_masks_of_another_folder(tiny: Tiny, tmp_path: Path) -> None:
    held_out = [f"v{number}" for number in range(NUM_STUDIES - NUM_HELD_OUT, NUM_STUDIES)]
    write_mask(tmp_path / "masks" / held_out[0], 1)
    options = (f"grounding.folder={tmp_path / 'masks'}", "grounding.pictures=0", "evaluation.bootstrap=0")
    assert tiny.evaluate("grounding", tmp_path / "out", *options) == 0
    metrics, rows = read(tmp_path / "out")
    assert (metrics["num_studies"], len(rows)) == (1, 1)
    assert metrics["dice"] == {"value": None, "low": None, "high": None}  # one half of the patients has none
    assert not math.isnan(metrics["dice_same_data"]["value"])
    assert {path.stem for path in (tmp_path / "out" / "pictures").iterdir()} == {"findings"}
