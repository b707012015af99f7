"""Zero-shot, retrieval, grounding and locate through the command line, on a run of two steps."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from support.tiny_data import SENTENCES, write_config

from simcrop_cli.__main__ import main
from simcrop_cli.signals import stop

NODULE, EMPHYSEMA = SENTENCES[0], SENTENCES[3]
SHORT = ("train.steps=2", "train.warmup_steps=0", "train.evaluate_every=2", "evaluation.bootstrap=50")
NUM_STUDIES, NUM_HELD_OUT = 18, 10


@dataclass(frozen=True)
class Tiny:
    """A configuration with labels and masks, and a run trained on it."""

    config: Path
    run: Path

    def evaluate(self, task: str, out: Path, *options: str, run: Path | None = None) -> int:
        sets = [part for option in (*SHORT, *options) for part in ("--set", option)]
        checkpoint = ["--checkpoint", str(run or self.run)]
        return main(["eval", task, str(self.config), *checkpoint, "--out", str(out), *sets])


def write_data(folder: Path) -> Path:
    """Eight studies to train on and ten held out; nodules have masks, one of them in other words than the report's."""
    config = write_config(folder)
    table = folder / "studies" / "studies.csv"
    originals = list(csv.DictReader(table.open()))
    generator = np.random.default_rng(5)
    rows: list[dict[str, Any]] = []
    for number in range(NUM_STUDIES):
        volume = f"v{number}.nii.gz"
        (table.parent / volume).write_bytes((table.parent / originals[number % 8]["volume"]).read_bytes())
        findings = " ".join(SENTENCES[i] for i in generator.permutation(5)[: 1 + number % 4])
        if number == NUM_STUDIES - 1:
            findings = rows[-1]["findings"]
        row = originals[0] | {
            "volume": volume,
            "findings": findings,
            "study_id": f"s{number}",
            "patient_id": f"p{number // 2}",
        }
        row["split"] = "validation" if number >= NUM_STUDIES - NUM_HELD_OUT else "train"
        row |= {"Lung nodule": int(NODULE in findings), "Emphysema": int(EMPHYSEMA in findings), "Pleural effusion": 0}
        rows.append(row)
        if NODULE in findings:
            write_mask(table.parent / "ground_truth" / f"v{number}", number)
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return config


def write_mask(folder: Path, number: int) -> None:
    folder.mkdir(parents=True)
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[3 + number % 8 :, 4:9, 6:12][:5] = 1
    nib.save(nib.Nifti1Image(mask, np.diag([2.0, 2.0, 2.0, 1.0])), folder / "m.nii.gz")
    texts = [NODULE] + ["Something like a nodule."] * (number % 3 == 0)
    sentences = [{"text": text, "finding": "Lung nodule", "present": True, "mask": "m.nii.gz"} for text in texts]
    (folder / "sentences.json").write_text(json.dumps({"version": 1, "sentences": sentences}))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("language")
    config, run = write_data(folder), folder / "run"
    assert main(["train", str(config), "--out", str(run), *(p for o in SHORT for p in ("--set", o))]) == 0
    return Tiny(config, run)


def read(out: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    content = json.loads((out / "metrics.json").read_text())
    return content["metrics"], list(csv.DictReader((out / "predictions.csv").open()))


def column(rows: Sequence[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


@pytest.mark.parametrize("prompts", ["reports", "templates", "file"])
def test_zeroshot(tiny: Tiny, tmp_path: Path, prompts: str, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_retrieval(tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.evaluate("retrieval", tmp_path) == 0
    metrics, rows = read(tmp_path)
    assert (metrics["num_test"], metrics["weights"]) == (NUM_HELD_OUT, "rarity")
    for name, ranks in (("report_to_volume", "rank_of_volume"), ("volume_to_report", "rank_of_report")):
        for k in (1, 5, 10):
            assert metrics[name][f"recall_at_{k}"]["value"] == pytest.approx((column(rows, ranks) <= k).mean())
        assert metrics[name]["recall_at_10"]["chance"] == 1.0
        assert metrics[name]["median_rank"]["value"] == np.quantile(column(rows, ranks), 0.5, method="inverted_cdf")
    # The last two studies have the same findings, so each is right for the other, and their ranks are the same.
    assert metrics["num_reports_that_repeat"] >= 2
    last = {row["study_id"]: row for row in rows}
    assert last["s16"]["rank_of_volume"] == last["s17"]["rank_of_volume"]
    assert metrics["report_to_volume"]["recall_at_1"]["chance"] > 1 / NUM_HELD_OUT
    assert "median rank" in capsys.readouterr().out
    assert (tmp_path / "pictures" / "recall.png").exists()


def test_grounding(tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_locate(tiny: Tiny, tmp_path: Path) -> None:
    volume = tiny.config.parent / "studies" / "v0.nii.gz"
    outs = [part for name in ("a.png", "b.nii.gz") for part in ("--out", str(tmp_path / name))]
    arguments = ["--checkpoint", str(tiny.run), "--volume", str(volume), "--sentence", NODULE]
    assert main(["locate", *arguments, *outs]) == 0
    written, there = nib.load(tmp_path / "b.nii.gz"), nib.load(volume)
    assert (written.shape, np.array_equal(written.affine, there.affine)) == (there.shape, True)
    assert -1 <= written.get_fdata().min() < written.get_fdata().max() <= 1
    assert (tmp_path / "a.png").stat().st_size > 10_000


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("simcrop: ")
    return last.removeprefix("simcrop: ")


@pytest.mark.parametrize("task", ["zeroshot", "retrieval", "grounding"])
def test_a_model_without_alignment_is_refused(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    run = tiny.run.parent / "blind"
    off = ["objectives.alignment.weight=0", "objectives.late_interaction.weight=0"]
    if not run.exists():
        sets = [part for option in (*SHORT, *off) for part in ("--set", option)]
        assert main(["train", str(tiny.config), "--out", str(run), *sets]) == 0
    assert tiny.evaluate(task, tmp_path, run=run) == 1
    line = one_line(capsys)
    assert line.startswith(f"{run}: was trained without alignment")
    assert "objectives.late_interaction.weight" in line
    assert not list(tmp_path.iterdir())


def changed(tiny: Tiny, **columns: str) -> str:
    """A setting that names the data with other columns."""
    table = tiny.config.parent / "studies" / "studies.csv"
    rows = [row | columns for row in csv.DictReader(table.open())]
    other = table.with_name("_".join(columns) + ".csv")
    with other.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return f"data.manifest={other}"


def test_data_that_lacks_something_is_refused(tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.evaluate("retrieval", tmp_path, changed(tiny, findings="")) == 1
    assert one_line(capsys).startswith("data: 0 of 10 held-out studies have findings to search by, and it takes two;")
    (tmp_path / "empty").mkdir()
    assert tiny.evaluate("grounding", tmp_path, f"grounding.folder={tmp_path / 'empty'}") == 1
    assert one_line(capsys).startswith("data: none of the 10 held-out studies has a mask of a finding that its report")
    assert tiny.evaluate("zeroshot", tmp_path, "labels.names=[Emphysma]") == 1
    assert "'Emphysma' is no label column of the data" in one_line(capsys)
    assert tiny.evaluate("zeroshot", tmp_path, "labels.names=[Pleural effusion]") == 1
    assert one_line(capsys).startswith("single-class split: none of the 1 labels has both classes among the 10 studies")
    for task in ("zeroshot", "retrieval", "grounding"):
        assert tiny.evaluate(task, tmp_path, changed(tiny, split="train")) == 1
        assert one_line(capsys).startswith("data: no study is held out to test on; raise data.validation_fraction")
    assert tiny.evaluate("zeroshot", tmp_path, changed(tiny, findings=""), "labels.names=[Emphysema]") == 0
    assert "the training reports assert no finding; built-in sentences were used" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["zeroshot", "retrieval", "grounding"])
def test_a_request_to_stop_ends_early_with_its_status(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_: object) -> bool:
        stop.signal = 15
        return True

    monkeypatch.setattr(type(stop), "__call__", stopped)
    batch = ("evaluation.batch_size=3", "retrieval.weights=equal", f"data.prepared={tmp_path / 'prepared'}")
    assert tiny.evaluate(task, tmp_path / "out", *batch) == 143
    assert f"{tmp_path / 'out'}: stopped" in capsys.readouterr().out
    assert list((tmp_path / "out").iterdir()) == []
