"""A small segmentation: its configuration, and the command."""

import json
from pathlib import Path
from typing import Any

from simcrop_cli.__main__ import main
from support.organ_data import EASY_HU, LPS, OBLIQUE, RAS, write_msd

MODEL = """\
model:
  volume_size: [16, 16, 8]
  patch_size: [8, 8, 4]
  spacing_mm: [3.0, 3.0, 5.0]
  embed_dim: 24
  depth: 2
  num_heads: 2
  decoder_dim: 12
  decoder_heads: 2
  projection_dim: 16
  fusion_heads: 2
  fusion_mlp_dim: 16
objectives: {alignment: {top_k: 2}, late_interaction: {top_k: 2}}
text_encoder: {hidden_size: 16, depth: 1, num_heads: 2, vocab_size: 128, max_tokens: 48}
train: {steps: 2, batch_size: 2, warmup_steps: 0, threads: 1}
evaluation: {loss_studies: 2, probe_labelled: 1, probe_test: 1, bootstrap: 50}
segment:
  feature_size: 4
  steps: 50
  lr: 2.0e-2
  warmup_steps: 5
  crops_per_volume: 4
  overlap: 0.0
  evaluate_every: 25
"""


SHORT = ("segment.steps=12", "segment.evaluate_every=6", "segment.checkpoint_every=2", "segment.crops_per_volume=1")


def msd_config(folder: Path) -> Path:
    """A configuration over five volumes of a data set of MSD, two of them for testing."""
    write_msd(folder / "data", [OBLIQUE, RAS, OBLIQUE, LPS, OBLIQUE], validation=2, hu_of=EASY_HU)
    path = folder / "msd.yaml"
    path.write_text(f"data: {{source: btcv, root: {folder}/data, prepared: {folder}/prepared}}\n{MODEL}")
    return path


def options(*settings: str) -> list[str]:
    """Settings as a command takes them."""
    return [part for setting in settings for part in ("--set", setting)]


def segment(config: Path, out: Path, *arguments: str) -> int:
    """The exit status of the command."""
    return main(["eval", "segment", str(config), "--out", str(out), *arguments])


def read_json(path: Path) -> Any:
    """Content of a JSON file."""
    return json.loads(path.read_text())
