"""What every evaluation begins and ends with: where it computes, the data on the model's grid, and its result."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_tree, with_model
from simcrop.adapters.evaluation.output import Evaluation, write_evaluation
from simcrop.adapters.system.ranks import choose_device
from simcrop.compose.data import Data, prepare_data
from simcrop.core.recipe import ModelRecipe, TrainRecipe

OTHER_DATA = (
    "the checkpoint was trained on other studies than these, on other reports of them, or divided otherwise: see to it "
    "that no patient of the test set was among them"
)
"""Said where nothing else tells that the test set is new to the model."""


def computing_device(train: TrainRecipe) -> torch.device:
    """The device that an evaluation computes on; torch is given the CPU threads that `train.threads` asks for.

    Raises:
        ConfigError: `train.device` cannot be had.
    """
    if train.threads is not None:
        torch.set_num_threads(train.threads)
    return choose_device(train.device)


def data_for(config: RunConfig, recipe: ModelRecipe) -> tuple[RunConfig, Data]:
    """The studies of a configuration, resampled onto the grid of the model that is measured.

    Args:
        config: names the data.
        recipe: of the model that is measured.

    Returns:
        (the configuration with that model in it, the data): `held_out` is the test set, `train` may be empty.

    Raises:
        DataError: as for training, except that studies without a report are taken.
    """
    config = with_model(config, recipe)
    return config, prepare_data(config, for_training=False)


def finish(out: Path, result: Evaluation, config: RunConfig, data: Data, checkpoint: Mapping[str, Any]) -> None:
    """Write the files of an evaluation, and print its table.

    Args:
        out: folder of the evaluation.
        result: what was measured.
        config: that it was measured with.
        data: that it was measured on.
        checkpoint: what is known of the model: from `checkpoint_identity`, or None for `path` and `sha256`.
    """
    if checkpoint.get("data_fingerprint") not in (None, data.fingerprint):
        result = replace(result, warnings=(*result.warnings, OTHER_DATA))
    about = {
        "checkpoint": dict(checkpoint),
        "data": {
            "source": config.data.source,
            "fingerprint": data.fingerprint,
            "num_train": len(data.train),
            "num_held_out": len(data.held_out),
        },
        "config": as_tree(config),
    }
    write_evaluation(out, result, about)


def say_stopped(out: Path) -> bool:
    """Say how to go on after a request to stop; False, for whoever asks whether all is done."""
    print(f"{out}: stopped; the same command goes on from here")
    return False
