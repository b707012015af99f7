"""Beginning and end of every evaluation: where it computes, its model and data, its result, and a request to stop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_tree, with_model
from simcrop.adapters.evaluation.classification.features_cache import FeatureKind, volume_features
from simcrop.adapters.evaluation.output import Evaluation, write_evaluation
from simcrop.adapters.system.locks import owned
from simcrop.adapters.system.ranks import choose_device
from simcrop.compose.data import Data, num_workers, prepare_data
from simcrop.compose.models import checkpoint_identity, load_encoder, untrained_encoder
from simcrop.core.errors import DataError
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.recipe import ModelRecipe, TrainRecipe
from simcrop.core.training.stopping import Stopped

Stop = Callable[[], bool]
"""Whether somebody asked to stop."""
C_contra = TypeVar("C_contra", contravariant=True)

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


def starting_encoder(
    config: RunConfig, checkpoint: str | None, device: torch.device
) -> tuple[VisionEncoder, dict[str, Any]]:
    """An encoder on the device that computes, and what is known of it.

    Args:
        config: of the evaluation; its section `model` makes the encoder where there is no checkpoint.
        checkpoint: what `load_encoder` takes; None makes an untrained one.
        device: where to put it.
    """
    if checkpoint is None:
        return untrained_encoder(config).to(device), {"path": None, "sha256": None}
    return load_encoder(checkpoint, device), checkpoint_identity(checkpoint)


def data_for(config: RunConfig, recipe: ModelRecipe, *, reads_volumes: bool = True) -> tuple[RunConfig, Data]:
    """The studies of a configuration, resampled onto the grid of the model that is measured.

    Args:
        config: names the data.
        recipe: of the model that is measured.
        reads_volumes: False resamples nothing.

    Returns:
        (the configuration with that model in it, the data): `held_out` is the test set, `train` may be empty.

    Raises:
        DataError: as for training, except that studies without a report are taken; or no study is held out.
    """
    config = with_model(config, recipe)
    data = prepare_data(config, for_training=False, reads_volumes=reads_volumes)
    if not data.held_out:
        raise DataError(
            "data: no study is held out to test on; raise data.validation_fraction, or mark studies as validation"
        )
    return config, data


@dataclass(frozen=True, eq=False)
class Task:
    """A model that is to be measured, and studies.

    Attributes:
        config: with the model's recipe in it.
        data: on the model's grid.
        checkpoint: what is known of the model.
    """

    config: RunConfig
    data: Data
    checkpoint: Mapping[str, Any]

    def features(self, names: Sequence[str], kind: FeatureKind, stop: Stop) -> Float[Tensor, "n F"]:
        """Features of volumes, computed or found in the cache, so that a stopped command goes on.

        Raises:
            DataError: a volume is damaged.
            Stopped: `stop`, asked after every batch, said so.
        """
        config, size = self.config, self.config.evaluation.batch_size
        cache, workers = config.data.prepared, num_workers(config)
        return volume_features(
            names, kind, self.data.prepared, cache, batch_size=size, num_workers=workers, should_stop=stop
        )

    def finish(self, out: Path, result: Evaluation) -> None:
        """Write the files of the evaluation, and print its table."""
        finish(out, result, self.config, self.data, self.checkpoint)


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


class Command(Protocol[C_contra]):
    """An evaluation as it is called."""

    def __call__(
        self, config: RunConfig, *, checkpoint: C_contra, out: Path, should_stop: Stop = lambda: False
    ) -> bool:
        """Measure a model on the held-out studies.

        Args:
            config: names the data; its sections say how.
            checkpoint: of the model; None, where an evaluation takes it, for an untrained one.
            out: folder of the result; an evaluation that was stopped goes on from what it keeps there or in the cache.
            should_stop: asked after every batch, step or study.

        Returns:
            False where it was asked to stop; the same call goes on from there.

        Raises:
            SimcropError: wrong checkpoint, data or configuration, another process in the folder, or a loss that is not
                finite.
        """
        ...


def command(work: Callable[[RunConfig, C_contra, Path, Stop], None]) -> Command[C_contra]:
    """The command that does a piece of work, and says so where that was stopped."""

    @wraps(work)
    def run(config: RunConfig, *, checkpoint: C_contra, out: Path, should_stop: Stop = lambda: False) -> bool:
        try:
            with owned(out):
                work(config, checkpoint, out, should_stop)
        except Stopped as stopped:
            print(f"{out}: stopped; {str(stopped) or 'the same command goes on from here'}")
            return False
        return True

    return run
