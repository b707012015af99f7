"""Zero-shot reading of findings, through the command line, on a run of two steps."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import f1_score, roc_auc_score
from support import REPOSITORY
from support.language_run import NODULE, NUM_HELD_OUT, Tiny, column, read
from support.tiny_data import SENTENCES

from simcrop.adapters.sources.label_tables import LABELS, RADCHESTCT


@pytest.mark.parametrize("prompts", ["reports", "templates", "file"])
def test_areas_are_those_of_the_predictions(
    tiny: Tiny, tmp_path: Path, prompts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if prompts == "file":
        file = tmp_path / "prompts.json"
        file.write_text(json.dumps({"Lung nodule": {"present": [NODULE], "absent": [SENTENCES[1], SENTENCES[4]]}}))
    out = tmp_path / "out"
    value = prompts if prompts != "file" else str(tmp_path / "prompts.json")
    assert tiny.evaluate("zeroshot", out, f"zeroshot.prompts={value}") == 0
    metrics, rows = read(out)
    assert len(rows) == 3 * NUM_HELD_OUT
    for finding in ("Lung nodule", "Emphysema"):
        own = [row for row in rows if row["finding"] == finding]
        for name, scores in (("auroc", "score"), ("auroc_asserted", "asserted")):
            expected = roc_auc_score(column(own, "truth"), column(own, scores))
            assert metrics["findings"][finding][name]["value"] == pytest.approx(expected)
    nodule, emphysema = (metrics["findings"][name] for name in ("Lung nodule", "Emphysema"))
    assert metrics["findings"]["Pleural effusion"]["auroc"]["value"] is None
    assert metrics["auroc"]["value"] == pytest.approx((nodule["auroc"]["value"] + emphysema["auroc"]["value"]) / 2)
    assert metrics["auroc_with_place"]["value"] == nodule["auroc"]["value"]
    assert metrics["auroc_asserted_with_place"]["value"] == nodule["auroc_asserted"]["value"]
    assert (nodule["has_place"], emphysema["has_place"]) == (True, False)
    used = nodule["prompts"]
    assert used["source"] == ("training reports" if prompts == "reports" else "sentences of their own")
    if prompts == "reports":
        assert set(used["present"]) == {NODULE}
        assert NODULE not in used["absent"]
    if prompts == "file":
        assert (used["present"], used["absent"]) == ([NODULE], [SENTENCES[1], SENTENCES[4]])
    assert (out / "pictures" / "roc.png").stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert "mean over those with a place" in printed
    assert "Pleural effusion: not measured, the test set has one class alone" in printed
    assert ("the training reports assert not Pleural effusion" in printed) == (prompts == "reports")


def at_threshold(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: each["at_threshold"] for name, each in metrics["findings"].items()}


def test_thresholds_are_chosen_by_training_studies_alone(tiny: Tiny, tmp_path: Path) -> None:
    """Other labels of the held-out studies change no threshold, and the numbers are those of the predictions."""
    table = tiny.config.parent / "studies" / "studies.csv"
    rows = list(csv.DictReader(table.open()))
    for row in rows:
        if row["split"] == "validation":
            row["Emphysema"] = str(1 - int(row["Emphysema"]))
    other = table.with_name("flipped.csv")
    with other.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert tiny.evaluate("zeroshot", tmp_path / "a", "zeroshot.prompts=templates") == 0
    assert tiny.evaluate("zeroshot", tmp_path / "b", "zeroshot.prompts=templates", f"data.manifest={other}") == 0
    (first, predictions), (flipped, _) = read(tmp_path / "a"), read(tmp_path / "b")
    assert first["num_threshold_studies"] == 8
    chosen = {name: each["threshold"] for name, each in at_threshold(first).items()}
    assert chosen == {name: each["threshold"] for name, each in at_threshold(flipped).items()}
    assert chosen["Emphysema"] is not None
    assert chosen["Pleural effusion"] is None, "no training study has it"
    own = [row for row in predictions if row["finding"] == "Emphysema"]
    truth, scores = column(own, "truth") > 0, column(own, "score")
    for key, threshold in (("at_threshold", chosen["Emphysema"]), ("at_zero", 0.0)):
        weighted = f1_score(truth, scores >= threshold, average="weighted", zero_division=0)
        assert first["findings"]["Emphysema"][key]["f1_weighted"]["value"] == pytest.approx(weighted)
    assert tiny.evaluate("zeroshot", tmp_path / "c", "zeroshot.threshold_studies=0") == 0
    without, _ = read(tmp_path / "c")
    assert (without["num_threshold_studies"], "at_thresholds" in without, "at_zero" in without) == (0, False, True)


@pytest.fixture(scope="module")
def all_labels(tiny: Tiny) -> Path:
    """The same studies with a column for every label of CT-RATE and RAD-ChestCT."""
    table = tiny.config.parent / "studies" / "studies.csv"
    rows = [row | dict.fromkeys({*LABELS, *RADCHESTCT} - {*row}, "0") for row in csv.DictReader(table.open())]
    other = table.with_name("all_labels.csv")
    with other.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return other


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "configs" / "prompts").glob("*_*.yaml")), ids=lambda path: path.stem
)
def test_every_list_of_prompts_that_comes_with_simcrop_is_read(
    tiny: Tiny, all_labels: Path, tmp_path: Path, path: Path
) -> None:
    names = list(RADCHESTCT if path.stem.startswith("radchestct") else LABELS)
    given = f"zeroshot.prompts={path.relative_to(REPOSITORY)}"
    options = (given, f"data.manifest={all_labels}", f"labels.names={json.dumps(names)}", "evaluation.bootstrap=0")
    assert tiny.evaluate("zeroshot", tmp_path, *options) == 0
    findings = read(tmp_path)[0]["findings"]
    assert list(findings) == names
    per_side = 4 if path.stem.endswith("ensemble") else 1
    for name, found in findings.items():
        prompts = found["prompts"]
        assert prompts["source"] == "sentences of their own"
        assert (prompts["num_present"], prompts["num_absent"]) == (per_side, per_side), name
