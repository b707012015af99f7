"""Studies with labels and masks, and a run of two steps that reads sentences."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from simcrop_cli.__main__ import main
from support.tiny_data import SENTENCES, write_config

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


def trained(folder: Path) -> Tiny:
    """The configuration, and its run of two steps."""
    config, run = write_data(folder), folder / "run"
    assert main(["train", str(config), "--out", str(run), *(p for o in SHORT for p in ("--set", o))]) == 0
    return Tiny(config, run)


def read(out: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    content = json.loads((out / "metrics.json").read_text())
    return content["metrics"], list(csv.DictReader((out / "predictions.csv").open()))


def column(rows: Sequence[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])
