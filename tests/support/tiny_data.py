"""Eight studies of 20 x 20 x 20 voxels on disk, as a manifest, and a configuration that trains on them in seconds."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np

SENTENCES = (
    "A nodule is seen in the left lung.",
    "The heart is normal.",
    "No pleural effusion is seen.",
    "Emphysema in both upper lobes.",
    "The trachea is open.",
)
CONFIG = """\
name: tiny
data:
  source: manifest
  manifest: {manifest}
  prepared: {prepared}
  prepared_size: [18, 18, 18]
model:
  volume_size: [16, 16, 16]
  patch_size: [4, 4, 4]
  spacing_mm: [2.0, 2.0, 2.0]
  embed_dim: 24
  depth: 1
  num_heads: 2
  decoder_dim: 12
  decoder_heads: 2
  projection_dim: 16
  fusion_heads: 2
  fusion_mlp_dim: 16
  dropout: 0.1
objectives:
  alignment: {{top_k: 2}}
  late_interaction: {{top_k: 2}}
text_encoder: {{hidden_size: 16, depth: 1, num_heads: 2, vocab_size: 128, max_tokens: 48, dropout: 0.1}}
train:
  steps: 40
  batch_size: 2
  accumulate: 2
  warmup_steps: 4
  checkpoint_every: 3
  evaluate_every: 8
  picture_every: 40
  threads: 1
evaluation: {{loss_studies: 2, probe_labelled: 1, probe_test: 1}}
"""


def write_studies(folder: Path, num_studies: int = 8) -> Path:
    """Write volumes and their manifest; the last two studies are held out.

    Returns:
        The manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    rows: list[dict[str, str]] = []
    for number in range(num_studies):
        voxels = np.round(generator.normal(-500, 300, (20, 20, 20))).astype(np.int16)
        voxels[5:15, 5:15, 5:15] = 40
        voxels[0] = -1000
        nib.save(nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.0, 1.0])), folder / f"{number}.nii.gz")
        chosen = generator.permutation(len(SENTENCES))[: 1 + number % 4]
        row = {"volume": f"{number}.nii.gz", "findings": " ".join(SENTENCES[i] for i in chosen), "impression": ""}
        row |= {"study_id": f"s{number}", "patient_id": f"p{number}"}
        rows.append(row | {"split": "validation" if number >= num_studies - 2 else "train"})
    manifest = folder / "studies.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return manifest


def write_config(folder: Path) -> Path:
    """Write studies and a configuration that names them; returns the YAML file."""
    manifest = write_studies(folder / "studies")
    path = folder / "tiny.yaml"
    path.write_text(CONFIG.format(manifest=manifest, prepared=folder / "prepared"))
    return path
