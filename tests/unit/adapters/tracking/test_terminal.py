"""The progress of a training on a terminal."""

import io

from rich.console import Console

from simcrop.adapters.tracking.terminal import TrainingProgress


def test_scores_are_told_now_and_then() -> None:
    now = [0.0]
    console = Console(file=io.StringIO(), record=True, width=100)
    progress = TrainingProgress(100, console=console, clock=lambda: now[0])
    for step in range(1, 101):
        now[0] += 1.0
        progress.write({"step": step, "loss": 0.5, "selection_loss": 0.25, "selection_auroc": step / 100})
    progress.close()
    lines = [line for line in console.export_text().splitlines() if "selection" in line]
    assert lines[:2] == [
        "step 1/100  selection: loss 0.250, AUROC 0.010",
        "step 11/100  selection: loss 0.250, AUROC 0.110",
    ]
    assert len(lines) == 10


def test_each_kind_of_score_has_its_name() -> None:
    console = Console(file=io.StringIO(), record=True, width=100)
    TrainingProgress(9, console=console).write({"step": 3, "loss": 0.5, "selection_dice": 0.7})
    assert "step 3/9  selection: Dice 0.700" in console.export_text()
