"""A model applied to scans of one's own: read, resampled and cut as evaluation does it, batch after batch."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int16
from numpy.typing import NDArray
from torch import Tensor

from simcrop.adapters.applying.journal import Entry
from simcrop.adapters.applying.row_folder import RowFolder, part_name
from simcrop.adapters.loading.own_volumes import Looked, SeenScan, look_at_centre
from simcrop.adapters.problems.verdicts import source_stamp
from simcrop.adapters.sources.own_scans import OwnScans
from simcrop.adapters.system.locks import owned
from simcrop.adapters.system.pool import run_all, usable_cores
from simcrop.adapters.system.progress import Bar, duration
from simcrop.compose.data import part_of
from simcrop.compose.models import checkpoint_identity
from simcrop.compose.pages import shown_box
from simcrop.compose.view import View
from simcrop.core.data.problems import Problem
from simcrop.core.errors import DataError
from simcrop.core.training.stopping import Stopped

Computed = tuple[NDArray[np.float32], NDArray[np.float32] | None]
"""[B, F] rows, and [B, N+1, E] tokens where they are kept."""


@dataclass(frozen=True)
class ScanOptions:
    """How scans are taken.

    Attributes:
        device: auto, cpu or cuda.
        batch_size: scans that the model takes at a time.
        workers: processes that read scans; None for one a core.
        shard: (number from 0, count) of the part of the scans that is taken.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: int = 16
    workers: int | None = None
    shard: tuple[int, int] = (0, 1)


@dataclass(frozen=True)
class Applied:
    """What came of it.

    Attributes:
        done: scans that have a row, now or from an earlier command.
        refused: those that cannot be used: scan, code, file, message.
        unusual: those that are done and look unlike a chest that the model knows: scan, and notes with code, file and
            message.
        path: of the table, or of the folder of files.
        maps: folder of the scans' maps of classes, where a segmenter made some.
        pages: folder of the scans' pages, where some were asked for.
    """

    done: int
    refused: Sequence[Mapping[str, Any]]
    unusual: Sequence[Mapping[str, Any]]
    path: Path
    maps: Path | None = None
    pages: Path | None = None


@dataclass(frozen=True, eq=False)
class Work:
    """What is done with scans.

    Attributes:
        look: reads one: a function of a module, for `run_all`.
        what: it is given beside the scans.
        compute: rows of those that could be read, by name.
    """

    look: Callable[[Any, str], Looked]
    what: Any
    compute: Callable[[Mapping[str, SeenScan]], Computed]

    @classmethod
    def on_centres(
        cls,
        view: View,
        compute: Callable[[Int16[Tensor, "B 1 H W D"]], Computed],
        write_page: Callable[[str, SeenScan, NDArray[np.float32]], None] | None = None,
    ) -> "Work":
        """Compute rows of what a model sees: of volumes in HU on the CPU.

        Args:
            view: what it sees.
            compute: rows of volumes.
            write_page: is told the name, the scan and the row of each, where there are pages.
        """

        def stacked(scans: Mapping[str, SeenScan]) -> Computed:
            rows, tokens = compute(torch.stack([each.voxels for each in scans.values()])[:, None])
            if write_page is not None:
                for (name, scan), row in zip(scans.items(), rows, strict=True):
                    write_page(name, scan, row)
            return rows, tokens

        show = None if write_page is None else partial(shown_box, recipe=view.recipe)
        return cls(look_at_centre, (view.grid, view.recipe.volume_size, show), stacked)


def about_model(checkpoint: str) -> dict[str, Any]:
    """What rows of different models are told apart by."""
    identity = checkpoint_identity(checkpoint)
    return {"version": 1, "weights_sha256": identity["sha256"], "step": identity["step"]}


def owned_part(out: Path, options: ScanOptions) -> AbstractContextManager[None]:
    """This process alone works in its part of the folder of a result; those of other shards share it.

    Raises:
        DataError: another process works on the same part.
    """
    return owned(out, part=part_name(options.shard))


def apply_to_scans(
    inputs: Sequence[Path],
    work: Work,
    folder: RowFolder,
    options: ScanOptions,
    should_stop: Callable[[], bool],
) -> Applied:
    """Compute the row of every scan that has none yet; what cannot be read is told in the journal and left out.

    Args:
        inputs: see `OwnScans`.
        work: what is done with each.
        folder: of the result.
        options: how.
        should_stop: asked after every batch.

    Raises:
        ConfigError: an input is no scan.
        DataError: there is no scan, or the disk refuses.
        Stopped: `should_stop` said so; the same call goes on from there.
    """
    told: list[Problem] = []
    scans = OwnScans(inputs, told.append)
    wanted = [study.study_id for study in part_of(scans.studies(), options.shard)]
    if not wanted and not told:
        raise DataError(f"{', '.join(map(str, inputs))}: no scan is there; name a file or a folder that holds some")
    for found in told:
        folder.journal.add(Entry(found.file, "refused", 0.0, {}, found))
    missing = [name for name in wanted if not folder.is_done(name, source_stamp(scans, name))]
    try:
        _compute(scans, missing, work, folder, options, should_stop)
    finally:
        folder.flush()
    names = [*wanted, *(found.file for found in told)]
    folder.finish(names)
    refused = folder.journal.refused(names)
    unusual = folder.journal.unusual(names)
    return Applied(len(names) - len(refused), refused, unusual, folder.result, folder.maps, folder.pages)


@torch.no_grad()
def _compute(
    scans: OwnScans,
    names: Sequence[str],
    work: Work,
    folder: RowFolder,
    options: ScanOptions,
    should_stop: Callable[[], bool],
) -> None:
    began, done = time.monotonic(), 0
    looked = run_all(work.look, (scans, work.what), names, options.workers or usable_cores())
    with Bar(f"scans written to {folder.out}", len(names)) as bar:
        while batch := list(islice(looked, options.batch_size)):
            for name, each in batch:
                if isinstance(each.found, Problem):
                    folder.journal.add(Entry(name, "refused", each.seconds, each.source, each.found))
            seen = {name: each.found for name, each in batch if isinstance(each.found, SeenScan)}
            if seen:
                rows, tokens = work.compute(seen)
                known = dict(batch)
                for number, (name, found) in enumerate(seen.items()):
                    entry = Entry(name, "done", known[name].seconds, known[name].source, notes=found.notes)
                    folder.add(entry, rows[number], None if tokens is None else tokens[number])
            done += len(batch)
            pace = done / max(time.monotonic() - began, 1e-9)
            bar.update(done, f"{pace:.1f} scans/s  {duration((len(names) - done) / pace)} left")
            if should_stop():
                raise Stopped
