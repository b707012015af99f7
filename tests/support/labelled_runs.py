"""Evaluations by labels, and data sets that they are made on."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simcrop import compose
from simcrop.adapters.config.settings import load_config
from support import labelled_data

Evaluate = Callable[..., bool]


@dataclass(frozen=True)
class Setting:
    """Studies with findings, the same with classes, and a run of two steps on the first."""

    findings: Path
    classes: Path
    run: Path


def trained(folder: Path) -> Setting:
    """The studies, and the run."""
    findings = labelled_data.write_config(folder / "findings")
    classes = labelled_data.write_config(folder / "classes", exclusive=True)
    compose.train(load_config(findings), out=folder / "run")
    return Setting(findings, classes, folder / "run")


def evaluate(what: Evaluate, yaml: Path, out: Path, *options: str, checkpoint: Path | None = None) -> dict[str, Any]:
    """The whole metrics.json of an evaluation."""
    assert what(load_config(yaml, options), checkpoint=None if checkpoint is None else str(checkpoint), out=out)
    return json.loads((out / "metrics.json").read_text())


def write_radchestct(root: Path, *, labelled: tuple[str, ...] = ("trn", "val")) -> Path:
    root.mkdir()
    generator = np.random.default_rng(0)
    parts = {"trn": ("train", 12), "val": ("valid", 6)}
    for part, (name, count) in parts.items():
        lines = ["NoteAcc_DEID,pericardial_effusion*heart,pleural_effusion*left_lung,nodule*left_lung"]
        for number in range(count):
            voxels = generator.integers(-1000, -900, (20, 20, 20)).astype(np.int16)
            voxels[8:12] = 50 if number % 2 else 40
            voxels[:, 10:] = 60 if number % 3 else -800
            np.savez_compressed(root / f"{part}{number:05d}.npz", ct=voxels)
            lines.append(f"{part}{number:05d},{number % 2},{int(number % 3 > 0)},{int(number % 4 > 1)}")
        if part in labelled:
            (root / f"img{name}_Abnormality_and_Location_Labels.csv").write_text("\n".join(lines) + "\n")
    return root


def radchestct_options(root: Path) -> list[str]:
    grid = ["model.spacing_mm=[1.6,1.6,1.6]", f"data.prepared={root}_prepared"]
    grid += ["labels.names=[Pericardial effusion, Lung nodule, Pleural effusion]"]
    return [*grid, "data.source=radchestct", f"data.root={root}", "data.manifest=null"]
