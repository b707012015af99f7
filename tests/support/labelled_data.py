"""Studies of 12 x 12 x 12 voxels with labels, as a manifest, and a configuration whose model reads them in no time."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np

LABELS = ("Bright", "Noise", "Rare")
"""Seen as tissue in one half; of no trace in the voxels; of one study outside the test set and one inside."""
CONFIG = """\
name: labelled
data:
  source: manifest
  manifest: {manifest}
  prepared: {prepared}
  prepared_size: [10, 10, 10]
model:
  volume_size: [8, 8, 8]
  patch_size: [4, 4, 4]
  spacing_mm: [2.0, 2.0, 2.0]
  embed_dim: 12
  depth: 1
  num_heads: 2
  decoder_dim: 12
  decoder_heads: 2
  projection_dim: 12
  fusion_heads: 2
  fusion_mlp_dim: 16
objectives:
  alignment: {{top_k: 2}}
  late_interaction: {{top_k: 2}}
text_encoder: {{hidden_size: 16, depth: 1, num_heads: 2, vocab_size: 128, max_tokens: 48}}
train: {{steps: 2, batch_size: 2, warmup_steps: 0, threads: 1, device: cpu}}
evaluation: {{bootstrap: 50}}
probe: {{inverse_penalties: [0.01, 1.0]}}
finetune: {{steps: 12, batch_size: 8, evaluate_every: 4, checkpoint_every: 2, lr: 0.02}}
"""
NUM_STUDIES = 40
"""The last 16 are held out; every patient has two."""


def write_studies(folder: Path, *, exclusive: bool = False) -> Path:
    """Write volumes and their manifest.

    Args:
        folder: where to.
        exclusive: label the studies with exactly one of the classes Left, Right and Air instead, seen in the voxels.

    Returns:
        The manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    rows: list[dict[str, str]] = []
    for number in range(NUM_STUDIES):
        voxels = generator.integers(-1000, -900, (12, 12, 12)).astype(np.int16)
        voxels[:, 4:8, 5:7] = 40  # without tissue a volume would be refused
        kind = number // 2 % 3
        if exclusive and kind < 2:
            voxels[6 * kind : 6 * kind + 6] = 100
        if not exclusive and number % 2 == 0:
            voxels[6:] = 100
        nib.save(nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.0, 1.0])), folder / f"{number}.nii.gz")
        values = {name: kind == index for index, name in enumerate(("Left", "Right", "Air"))}
        if not exclusive:
            noise = bool(generator.random() < 0.5)
            values = dict(zip(LABELS, (number % 2 == 0, noise, number in {3, 30}), strict=True))
        row = {"volume": f"{number}.nii.gz", "findings": "The heart is normal.", "impression": ""}
        row |= {"study_id": f"s{number}", "patient_id": f"p{number // 2}"}
        row |= {"split": "validation" if number >= NUM_STUDIES - 16 else "train"}
        row |= {name: str(int(value)) for name, value in values.items()}
        rows.append(row)
    manifest = folder / "studies.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return manifest


def write_config(folder: Path, *, exclusive: bool = False) -> Path:
    """Write studies and a configuration that names them; returns the YAML file."""
    manifest = write_studies(folder / "studies", exclusive=exclusive)
    text = CONFIG.format(manifest=manifest, prepared=folder / "prepared")
    path = folder / "labelled.yaml"
    path.write_text(text + "labels: {task: multiclass}\n" if exclusive else text)
    return path
