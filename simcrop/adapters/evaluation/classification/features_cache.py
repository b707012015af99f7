"""One feature vector a volume: computed once and kept, since neither the encoder nor the volume changes.

    CACHE/features_KEY/part_*.npz    names, stamps, features: float32 [n, F]; a file for every minute of computing

KEY is a hash of the encoder's weights and recipe and of the kind of features. A stamp names the prepared volume's file,
its size and time: a volume that was prepared anew is encoded anew. Of several rows of a volume the last counts.
"""

import logging
import os
import platform
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from simcrop.adapters.loading.batches import volume_centres
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.system.cache_folder import cache_file, key_of, make_cache_folder
from simcrop.adapters.system.progress import Bar, duration
from simcrop.core.recipe import Size
from simcrop.core.training.stopping import Stopped

VERSION = 1
"""Goes up when the same encoder and volume would give other features."""
PART_SECONDS = 60.0
"""Computing that a kill can cost."""
_log = logging.getLogger("simcrop")
_Row = tuple[str, str, Tensor]
"""Name, stamp, features."""


@dataclass(frozen=True)
class FeatureKind:
    """A kind of features, and how they are computed of a volume.

    Attributes:
        identity: all that decides the features but the volume; plain values.
        compute: [B, 1, H, W, D] int16 HU on the CPU -> [B, F].
        size: of the centre that is read.
    """

    identity: Sequence[Any]
    compute: Callable[[Tensor], Tensor]
    size: Size


def volume_features(
    names: Sequence[str],
    kind: FeatureKind,
    prepared: PreparedVolumes,
    cache: Path,
    *,
    batch_size: int,
    num_workers: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Float[Tensor, "n F"]:
    """The features of the volumes, in their order; what is missing is computed first.

    Args:
        names: of reconstructions.
        kind: what is computed.
        prepared: the volumes.
        cache: folder of all that is prepared.
        batch_size: volumes at a time.
        num_workers: processes that read volumes; 0 reads in this one.
        should_stop: asked after every batch.
        clock: seconds, for the pace.

    Raises:
        DataError: a volume is damaged, or the folder cannot be written.
        Stopped: `should_stop` said so; what was computed is kept.
    """
    folder = cache / f"features_{key_of([VERSION, *kind.identity, kind.size])}"
    stamps = {name: _stamp(prepared.array_file(name)) for name in names}
    known = _known(folder, stamps)
    missing = [name for name in stamps if name not in known]
    if missing:
        make_cache_folder(folder)
        centres = volume_centres(prepared, missing, kind.size, batch_size=batch_size, num_workers=num_workers)
        with Bar(f"features kept in {folder}", len(missing)) as bar:
            _compute(missing, centres, kind, stamps, folder, bar, should_stop, clock)
        known = _known(folder, stamps)
    return torch.stack([known[name] for name in names])


def _compute(
    names: Sequence[str],
    centres: Iterable[Tensor],
    kind: FeatureKind,
    stamps: dict[str, str],
    folder: Path,
    bar: Bar,
    should_stop: Callable[[], bool],
    clock: Callable[[], float],
) -> None:
    rows: list[_Row] = []
    done, began = 0, clock()
    written = began
    try:
        for volumes in centres:
            now = names[done : done + len(volumes)]
            features = kind.compute(volumes).float().cpu()
            rows += [(name, stamps[name], row) for name, row in zip(now, features, strict=True)]
            done += len(volumes)
            pace = done / max(clock() - began, 1e-9)
            bar.update(done, f"{pace:.1f} volumes/s  {duration((len(names) - done) / pace)} left")
            if clock() - written >= PART_SECONDS:
                _write(folder, rows)
                written = clock()
            if should_stop():
                raise Stopped
    finally:
        # Whatever ends the work, an exit by a signal too, keeps what is computed.
        _write(folder, rows)


def _write(folder: Path, rows: list[_Row]) -> None:
    """Put rows into a file of their own, and forget them."""
    if rows:
        names, stamps, features = zip(*rows, strict=True)
        path = folder / f"part_{platform.node()}_{os.getpid()}_{time.time_ns()}.npz"
        with cache_file(path) as file:
            np.savez(file, names=np.array(names), stamps=np.array(stamps), features=torch.stack(features).numpy())
        rows.clear()


def _stamp(array: Path) -> str:
    """Names the state of a prepared volume; its folder stands for the grid."""
    try:
        status = array.stat()
    except OSError:
        return ""  # reading it tells what is wrong
    return f"{array.parent.name}/{array.name} {status.st_size} {status.st_mtime_ns}"


def _known(folder: Path, stamps: dict[str, str]) -> dict[str, Tensor]:
    """Name -> features, of the wanted volumes as they are now; a damaged file is passed over with a warning."""
    known: dict[str, Tensor] = {}
    for path in sorted(folder.glob("part_*.npz"), key=lambda path: path.stat().st_mtime_ns):
        try:
            names, kept_stamps, features = _read_part(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            _log.warning("%s: cannot be read (%s); its features are computed anew", path, error)
            continue
        for name, stamp, row in zip(names.tolist(), kept_stamps.tolist(), torch.from_numpy(features), strict=True):
            if stamp and stamps.get(name) == stamp:
                known[name] = row
    return known


def _read_part(path: Path) -> tuple[NDArray[np.str_], NDArray[np.str_], NDArray[np.float32]]:
    with np.load(path, allow_pickle=False) as archive:
        return archive["names"], archive["stamps"], archive["features"]
