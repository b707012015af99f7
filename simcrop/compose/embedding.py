"""`simcrop embed`: features of scans of one's own, which need neither reports nor labels."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from simcrop.adapters.applying.feature_folder import FeatureFolder, FeatureFormat
from simcrop.adapters.applying.journal import Entry
from simcrop.adapters.checkpoints.encoder_file import open_weights
from simcrop.adapters.checkpoints.hub import local_copy
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import with_model
from simcrop.adapters.loading.own_volumes import look_at_scan
from simcrop.adapters.loading.resample import Grid
from simcrop.adapters.problems.verdicts import source_stamp
from simcrop.adapters.sources.own_scans import OwnScans
from simcrop.adapters.system.pool import run_all
from simcrop.adapters.system.progress import Bar, duration
from simcrop.adapters.system.ranks import choose_device
from simcrop.compose.data import part_of
from simcrop.compose.models import checkpoint_identity, load_encoder
from simcrop.core.data.problems import Problem
from simcrop.core.errors import ConfigError, DataError
from simcrop.core.evaluation.readouts import ReadOut, read_out, token_rows
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.recipe import TrainRecipe
from simcrop.core.training.learner import numerics
from simcrop.core.training.stopping import Stopped

TokenReadOut = Literal["encoder", "max", "layers"]


@dataclass(frozen=True)
class EmbedOptions:
    """Options of `embed`.

    Attributes:
        read_out: encoder, the mean of the patch tokens; max, their maximum beside it; layers, the means after lower
            blocks beside it. As `probe.features` has them.
        form: csv or parquet, a table with a row a scan; npz, a file a scan.
        tokens: keep every token of a scan too; npz alone.
        device: auto, cpu or cuda.
        batch_size: scans that the encoder takes at a time.
        workers: processes that read scans; None for one a core.
        shard: (number from 0, count) of the part of the scans that is taken.
    """

    read_out: TokenReadOut = "encoder"
    form: FeatureFormat = "csv"
    tokens: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: int = 16
    workers: int | None = None
    shard: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        if self.tokens and self.form != "npz":
            raise ConfigError(f"--tokens: a table has no room for them, and --format is {self.form}; take npz")


@dataclass(frozen=True)
class EmbedResult:
    """What came of it.

    Attributes:
        done: scans that have features, now or from an earlier command.
        refused: those that cannot be used, with code, file and message.
        path: of the table, or of the folder of files.
    """

    done: int
    refused: Sequence[dict[str, Any]]
    path: Path


def embed(
    inputs: Sequence[Path],
    checkpoint: str,
    out: Path,
    options: EmbedOptions | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> EmbedResult:
    """Write the features of every scan behind the inputs; what cannot be read is told in `embed.jsonl` and left out.

    What an earlier command has written to the same folder is kept, as long as a scan's file is as it was.

    Args:
        inputs: see `OwnScans`.
        checkpoint: what `load_encoder` takes.
        out: folder of the result; see `feature_folder`.
        options: how.
        should_stop: asked after every batch.

    Raises:
        CheckpointError: no such model.
        ConfigError: an input is no scan, or the folder holds features of another model.
        DataError: there is no scan, or the disk refuses.
        Stopped: `should_stop` said so; the same call goes on from there.
    """
    options = options or EmbedOptions()
    told: list[Problem] = []
    scans = OwnScans(inputs, told.append)
    wanted = [study.study_id for study in part_of(scans.studies(), options.shard)]
    if not wanted and not told:
        raise DataError(f"{', '.join(map(str, inputs))}: no scan is there; name a file or a folder that holds some")
    encoder = load_encoder(checkpoint, choose_device(options.device))
    folder = FeatureFolder(out, _about(checkpoint, encoder, options), options.form, options.shard)
    for found in told:
        folder.journal.add(Entry(found.file, "refused", 0.0, {}, found))
    names = [*wanted, *(found.file for found in told)]
    missing = [name for name in wanted if not folder.is_done(name, source_stamp(scans, name))]
    try:
        _compute(scans, missing, encoder, _grid(checkpoint, encoder), folder, options, should_stop)
    finally:
        folder.flush()
    folder.finish(names)
    refused = folder.journal.refused(names)
    return EmbedResult(len(names) - len(refused), [{**row} for row in refused], folder.result)


def _about(checkpoint: str, encoder: VisionEncoder, options: EmbedOptions) -> dict[str, Any]:
    recipe = encoder.recipe
    identity = checkpoint_identity(checkpoint)
    return {
        "version": 1,
        "weights_sha256": identity["sha256"],
        "step": identity["step"],
        "read_out": options.read_out,
        "tokens": options.tokens,
        "spacing_mm": list(recipe.spacing_mm),
        "volume_size": list(recipe.volume_size),
    }


def _grid(checkpoint: str, encoder: VisionEncoder) -> Grid:
    """The grid of prepared volumes that evaluation would cut the centre from."""
    config = open_weights(local_copy(checkpoint, None)).run_config() or RunConfig()
    size = with_model(config, encoder.recipe).data.prepared_size
    assert size is not None
    return Grid(encoder.recipe.spacing_mm, size)


def _compute(
    scans: OwnScans,
    names: Sequence[str],
    encoder: VisionEncoder,
    grid: Grid,
    folder: FeatureFolder,
    options: EmbedOptions,
    should_stop: Callable[[], bool],
) -> None:
    device, began, done = encoder.cls_token.device, time.monotonic(), 0
    shared = (scans, grid, encoder.recipe.volume_size)
    looked = run_all(look_at_scan, shared, names, options.workers or os.cpu_count() or 1)
    with Bar(f"features written to {folder.out}", len(names)) as bar:
        while batch := list(islice(looked, options.batch_size)):
            for name, each in batch:
                if each.problem is not None:
                    folder.journal.add(Entry(name, "refused", each.seconds, each.source, each.problem))
            usable = [(name, each, each.voxels) for name, each in batch if each.voxels is not None]
            if usable:
                volumes = torch.from_numpy(np.stack([voxels for _, _, voxels in usable]))[:, None].to(device)
                features, tokens = _encoded(encoder, volumes, options)
                for row, (name, each, _) in enumerate(usable):
                    entry = Entry(name, "done", each.seconds, each.source)
                    folder.add(entry, features[row], None if tokens is None else tokens[row])
            done += len(batch)
            pace = done / max(time.monotonic() - began, 1e-9)
            bar.update(done, f"{pace:.1f} scans/s  {duration((len(names) - done) / pace)} left")
            if should_stop():
                raise Stopped


@torch.no_grad()
def _encoded(
    encoder: VisionEncoder, volumes: torch.Tensor, options: EmbedOptions
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """(Features, tokens after the final norm where they are wanted), on the CPU."""
    with numerics(volumes.device, TrainRecipe()):
        rows = token_rows(encoder, volumes)
        tokens = encoder.encode(volumes).float().cpu().numpy() if options.tokens else None
    name: ReadOut = options.read_out
    return read_out(rows, name, encoder.recipe).float().cpu().numpy(), tokens
