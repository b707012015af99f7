"""Bytes of a checkpoint, and the seconds that a step waits for it: written at once, and in the background.

    python benchmarks/checkpoint_seconds.py [--folder FOLDER] [--times 5]

Models have random weights and AdamW's moments: the default run's, and the encoder of a ViT-B.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from measuring import hardware
from torch import nn

from simcrop import compose
from simcrop.adapters.checkpoints.background import BackgroundCheckpoints
from simcrop.adapters.checkpoints.store import FolderCheckpoints
from simcrop.adapters.config.settings import load_config
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.recipe import ModelRecipe, TrainRecipe
from simcrop.core.recipe.presets import PRESETS
from simcrop.core.reference import REFERENCE
from simcrop.core.training.optimization import make_optimizers, optimizer_state

ROOT = Path(__file__).parents[1]


def models() -> dict[str, nn.Module]:
    """By the row's name."""
    default, vit_b = load_config(ROOT / "pretrain.yaml"), ModelRecipe(**PRESETS["vit_b"]["model"])
    words = ["The heart is normal."]
    return {
        "the default run": compose.build_model(default, reports=lambda: words)[0],
        "the encoder of a ViT-B": VisionEncoder(vit_b, REFERENCE),
    }


def row(name: str, model: nn.Module, folder: Path, times: int) -> str:
    """One line of the table; seconds are medians."""
    optimizers = make_optimizers(model, TrainRecipe())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    for optimizer in optimizers:
        optimizer.step()
    model.zero_grad(set_to_none=True)
    store = FolderCheckpoints(folder, keep=2, config={}, tokenizer={}, provenance={})
    background = BackgroundCheckpoints(store)
    seconds: dict[str, list[float]] = {"at once": [], "seen": [], "written": []}
    for step in range(1, times + 1):
        state = {"optimizer": optimizer_state(optimizers)}
        begun = time.monotonic()
        path = store.save(2 * step, model, state)
        seconds["at once"].append(time.monotonic() - begun)
        begun = time.monotonic()
        background.save(2 * step + 1, model, state)
        seconds["seen"].append(time.monotonic() - begun)
        background.finish()
        seconds["written"].append(time.monotonic() - begun)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    weights = sum(parameter.numel() for parameter in model.parameters())
    at_once, seen, written = (statistics.median(values) for values in seconds.values())
    return f"| {name} | {weights / 1e6:.1f} M | {size / 1e6:.0f} MB | {at_once:.2f} | {seen:.3f} | {written:.2f} |"


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="on the disk that is measured; temporary by default")
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    print("| model | weights | on disk | s written at once | s that a step waits | s until it is written |")
    print("|---|---|---|---|---|---|")
    for name, model in models().items():
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            print(row(name, model, Path(folder), options.times), flush=True)
    print(f"\n{hardware()}")


if __name__ == "__main__":
    main()
