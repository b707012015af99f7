"""What every evaluation begins and ends with: the data on the model's grid, and the files of its result."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simcrop.adapters.config import RunConfig
from simcrop.adapters.data_set import Data, prepare_data
from simcrop.adapters.evaluation_output import Evaluation, write_evaluation
from simcrop.adapters.settings import as_tree, with_model
from simcrop.core.recipe import ModelRecipe


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
        checkpoint: what is known of the model: `path` and `sha256` of its weights.
    """
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
