"""A run that goes on with other processes makes the same updates from the same studies, or is refused."""

from collections.abc import Iterator
from typing import Any

from simcrop.adapters.checkpoints.folder import Checkpoint
from simcrop.adapters.config.run import RunConfig
from simcrop.core.errors import CheckpointError


def batches_of(config: RunConfig, num_processes: int) -> dict[str, Any]:
    """What a checkpoint says of the batches behind it; the functions below read it."""
    return {
        "studies_per_update": config.train.studies_per_update(num_processes),
        "epoch_multiple": config.train.epoch_multiple(num_processes),
        "compared": _compared(config, num_processes),
    }


def _compared(config: RunConfig, num_processes: int) -> dict[str, int]:
    """Objective -> studies that it compares with each other, where these are more than one."""
    train = config.train
    here = train.batch_size * (train.micro_batches(num_processes) if train.contrast == "step" else 1)
    everywhere = here * num_processes
    objectives, studies = config.objectives, dict[str, int]()
    if objectives.alignment.weight:
        studies["alignment"] = {"report": 1, "batch": here, "global": everywhere}[objectives.alignment.negatives]
    if objectives.late_interaction.weight:
        studies["late_interaction"] = everywhere
    return {name: number for name, number in studies.items() if number > 1}


def epoch_multiple_of(checkpoint: Checkpoint | None, config: RunConfig, num_processes: int) -> int:
    """Studies of which the epochs of a run hold a multiple, so that any number of processes keeps their order.

    Args:
        checkpoint: that the run goes on from.
        config: as it is asked for.
        num_processes: of now.

    Raises:
        CheckpointError: an update would have more or fewer studies than those behind the checkpoint.
    """
    recipe, before = config.train, _before(checkpoint)
    if checkpoint is None or before is None:
        return recipe.epoch_multiple(num_processes)
    size, then = recipe.studies_per_update(num_processes), before["studies_per_update"]
    if size != then:
        raise CheckpointError(
            f"train.global_batch: updates of {size} studies (train.batch_size {recipe.batch_size}, micro-batches "
            f"{recipe.micro_batches(num_processes)}, processes {num_processes}) differ from those of {then} in "
            f"{checkpoint.path}; write train.global_batch: {then} and no train.accumulate, or train anew with another "
            f"--out"
        )
    return before["epoch_multiple"]


def changed_comparisons(checkpoint: Checkpoint | None, config: RunConfig, num_processes: int) -> Iterator[str]:
    """Warnings of objectives that compare fewer or more studies than behind the checkpoint, so that their losses jump.

    Args:
        checkpoint, config, num_processes: as for `epoch_multiple_of`.
    """
    before = _before(checkpoint)
    if checkpoint is None or before is None:
        return
    now = _compared(config, num_processes)
    for name in sorted({*now, *before["compared"]}):
        number, then = now.get(name, 1), before["compared"].get(name, 1)
        if number != then:
            yield (
                f"objectives.{name}: compares {number} studies at a time, and {then} in {checkpoint.path}; the order "
                f"of the studies stays, but this loss changes; another train.batch_size keeps it "
                f"({config.train.batch_size} on each of {num_processes} processes now), or from the beginning "
                f"train.contrast: step"
            )


def _before(checkpoint: Checkpoint | None) -> dict[str, Any] | None:
    """What the checkpoint says; None without one, and for one that is older than this."""
    return None if checkpoint is None else checkpoint.manifest.get("batches")
