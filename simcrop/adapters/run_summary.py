"""summary.json: what a run ended with, and what it cost."""

import json
import resource
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from simcrop.adapters.config import EvaluationSettings
from simcrop.adapters.durable import replace_text
from simcrop.adapters.held_out import HeldOutStudies
from simcrop.adapters.progress import counted
from simcrop.adapters.summary import evaluate_run, print_summary
from simcrop.core.encoder import VisionEncoder
from simcrop.core.model import SimCroP

_FILE_COLUMNS = 110
"""Width of the table where no terminal says its own."""


def write_summary(
    out: Path,
    model: SimCroP,
    untrained: VisionEncoder,
    held_out: HeldOutStudies,
    settings: EvaluationSettings,
    *,
    seconds: float,
) -> None:
    """Measure a trained model, write `summary.json` and print it.

    Args:
        out: run folder with the finished `metrics.jsonl`.
        model: trained, on its device.
        untrained: encoder as it was initialised, on the same device.
        held_out: studies never seen in training.
        settings: how many studies, how many at a time.
        seconds: wall time so far, data included; for a resumed run since its last start.
    """
    with counted("held-out studies measured") as progress:
        measured = evaluate_run(model, untrained, held_out, settings, progress=progress)
    costs = {"wall_time_s": round(seconds, 1), "peak_memory_mb": peak_memory_mb()}
    summary = last_losses(out / "metrics.jsonl") | measured | costs
    replace_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    print_summary(summary, Console(width=None if sys.stdout.isatty() else _FILE_COLUMNS))


def last_losses(metrics: Path) -> dict[str, Any]:
    """Step, losses and held-out losses of the last row; nothing where there is no row."""
    lines = metrics.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[-1]) if lines else {}
    return {key: value for key, value in row.items() if key == "step" or "loss" in key}


def peak_memory_mb() -> dict[str, float]:
    """Most memory held so far, MB: of this process (`cpu`) and, where there is a GPU, of torch on it (`gpu`)."""
    unit = 1e6 if sys.platform == "darwin" else 1e3
    peak = {"cpu": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)}
    if torch.cuda.is_available():
        peak["gpu"] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    return peak
