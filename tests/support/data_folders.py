"""Small data sets on disk, written by hand, for the tests of what reads them."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from simcrop.adapters.formats.nifti import write_nifti

AFFINE = np.diag([3.0, 3.0, 6.0, 1.0])
SHAPE = (16, 14, 10)
FINDINGS = "Trachea is open. A nodule of 9.5 mm is seen in the left lung. No pleural effusion."


def chest(seed: int = 0, shape: Sequence[int] = SHAPE) -> np.ndarray:
    """int16 HU that pass as a chest: half air, half soft tissue, with noise."""
    voxels = np.random.default_rng(seed).normal(40, 20, shape)
    voxels[: shape[0] // 2] -= 1000
    return voxels.astype(np.int16)


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """A CSV whose columns are the keys of the first row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_volume(path: Path, voxels: np.ndarray | None = None, affine: np.ndarray = AFFINE) -> None:
    """A volume, its folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(path, chest() if voxels is None else voxels, affine)


def write_ct_rate(root: Path, names: Sequence[str], *, findings: str = FINDINGS, split_folder: str = "") -> None:
    """A data set in CT-RATE's layout with one volume for each name like train_1_a_1."""
    for number, name in enumerate(names):
        split, patient, scan, _ = name.split("_")
        folder = root / "dataset" / f"{split}{split_folder}" / f"{split}_{patient}" / f"{split}_{patient}_{scan}"
        write_volume(folder / f"{name}.nii.gz", chest(number))
    for split, long_name in (("train", "train"), ("valid", "validation")):
        own = [f"{name}.nii.gz" for name in names if name.startswith(split)]
        if own:
            reports = [_report(volume, findings) for volume in own]
            write_table(root / "radiology_text_reports" / f"{long_name}_reports.csv", reports)
            labels = [{"VolumeName": volume, "Emphysema": i % 2, "Lung nodule": 1} for i, volume in enumerate(own)]
            write_table(root / "multi_abnormality_labels" / f"{split}_predicted_labels.csv", labels)


def write_truth(folder: Path, mask: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    """Ground truth of one volume: a nodule with a mask, and a sentence without a place."""
    folder.mkdir(parents=True)
    write_nifti(folder / "01.nii.gz", mask.astype(np.uint8), affine)
    nodule = {"text": "A nodule.", "finding": "Lung nodule", "present": True, "mask": "01.nii.gz"}
    other = {"text": "Normal.", "finding": None, "present": False, "mask": None}
    content = {"version": 1, "sentences": [nodule, other], "organs": {"trachea": "01.nii.gz"}}
    (folder / "sentences.json").write_text(json.dumps(content), encoding="utf-8")


def _report(volume: str, findings: str) -> dict[str, str]:
    return {
        "VolumeName": volume,
        "ClinicalInformation_EN": "",
        "Technique_EN": "",
        "Findings_EN": findings,
        "Impressions_EN": "Not given.",
    }
