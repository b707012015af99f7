"""Volumes and the organs in them as one map of classes, on any grid; kept for training on the grid of segmentation."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float, Int16, UInt8
from torch import Tensor

from simcrop.adapters.loading.resample import HU_RANGE, covering_grid, resample_mask, resample_volume
from simcrop.adapters.problems.content import refuse_content
from simcrop.adapters.problems.verdicts import file_stamps, source_stamp
from simcrop.adapters.system.cache_folder import cache_file, key_of, make_cache_folder
from simcrop.adapters.system.pool import Progress, run_all
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.data.study import Study
from simcrop.core.errors import ConfigError, DataError
from simcrop.core.ports import DataSet
from simcrop.core.recipe import Size

VERSION = 1
"""Goes up when the same files would give another map."""
CHEST = ("left_lung", "right_lung", "trachea")
"""Classes where neither the configuration nor the data set names any: those of the paper's LUNA16."""
MAX_CLASSES = 255
_UNSAFE = re.compile(r"[^\w.-]")


@dataclass(frozen=True, eq=False)
class OrganMap:
    """A volume and its classes on one grid.

    Attributes:
        voxels: HU.
        classes: 0 is the background, i the i-th class.
        affine: maps indices of both to world coordinates in mm, RAS.
    """

    voxels: Int16[Tensor, "H W D"]
    classes: UInt8[Tensor, "H W D"]
    affine: Float[Tensor, "4 4"]


def class_names(source: DataSet, wanted: Sequence[str]) -> tuple[str, ...]:
    """The classes to tell apart, background left out.

    Args:
        source: the data set.
        wanted: `segment.classes`; empty takes the data set's own, where it has a list of them, else `CHEST`.

    Raises:
        ConfigError: a name that the data set's list lacks, or more than a byte can number.
    """
    known = source.organ_names
    strange = [name for name in wanted if known and name not in known]
    if strange:
        raise ConfigError(f"segment.classes: dataset.json has no {strange[0]!r}; it has {', '.join(known)}")
    chosen = tuple(wanted) or known or CHEST
    if len(chosen) > MAX_CLASSES:
        raise ConfigError(f"segment.classes: {len(chosen)} are more than {MAX_CLASSES}")
    return chosen


def annotated(source: DataSet, studies: Sequence[Study], classes: Sequence[str]) -> list[Study]:
    """The studies whose first volume has masks.

    Args:
        source: the data set.
        studies: in any order.
        classes: that are to be told apart.

    Raises:
        DataError: a volume has some of the masks and lacks one, so that nobody knows whether the organ is there.
    """
    found: list[Study] = []
    for study in studies:
        organs = source.organs(study.reconstructions[0])
        missing = [name for name in classes if name not in organs]
        if organs and missing:
            raise DataError(
                f"{source.volume_file(study.reconstructions[0])}: has no mask of {missing[0]} among {', '.join(organs)}"
                "; add it, choose other segment.classes, or list the volume under data.quarantine"
            )
        if organs:
            found.append(study)
    return found


def read_classes(
    source: DataSet, reconstruction: str, classes: Sequence[str], affine: Float[Tensor, "4 4"], size: Size
) -> UInt8[Tensor, "H W D"]:
    """The map of classes on a grid, nearest neighbour; where two overlap, the later one counts."""
    found = torch.zeros(size, dtype=torch.uint8)
    organs = source.organs(reconstruction)
    for number, mask in enumerate(source.read_masks(reconstruction, [organs[name] for name in classes]), 1):
        found[resample_mask(mask, affine, size)] = number
    return found


class OrganMaps:
    """Volumes with their classes at one spacing, each resampled once and kept in the cache.

    Args:
        source: the data set.
        classes: that are told apart.
        spacing_mm: of the grid.
        cache: folder of everything prepared.
    """

    def __init__(
        self, source: DataSet, classes: Sequence[str], spacing_mm: tuple[float, float, float], cache: Path
    ) -> None:
        self.source, self.classes, self.spacing_mm = source, tuple(classes), spacing_mm
        self._folder = cache / f"organs_{key_of([VERSION, source.identity, HU_RANGE, spacing_mm, self.classes])}"

    def read(self, reconstruction: str) -> OrganMap:
        """One volume, made where it is not kept, or not from its present files.

        Raises:
            DataError: its files are damaged, or the cache cannot be written.
        """
        stamps = file_stamps(self.source.organ_files(reconstruction))
        stamp = json.dumps([source_stamp(self.source, reconstruction), *stamps])
        kept = _load(self._file(reconstruction), stamp)
        return self._make(reconstruction, stamp) if kept is None else kept

    def prepare(self, reconstructions: Sequence[str], *, workers: int, progress: Progress) -> None:
        """Make what is not kept.

        Args:
            reconstructions: what will be needed.
            workers: processes, each with one thread.
            progress: told of volumes done and in all.

        Raises:
            DataError: after the last one, where some cannot be used; or the cache cannot be written.
        """
        if not all(self._file(name).is_file() for name in reconstructions):
            make_cache_folder(self._folder)
        bad: list[str] = []
        progress(0, len(reconstructions))
        for done, (_, problem) in enumerate(run_all(_prepare, self, reconstructions, workers), 1):
            bad += [str(problem)] if problem is not None else []
            progress(done, len(reconstructions))
        if bad:
            more = f" (and {len(bad) - 1} more volumes cannot be used)" if len(bad) > 1 else ""
            raise DataError(f"{min(bad)}{more}; or list the volume under data.quarantine")

    def _make(self, reconstruction: str, stamp: str) -> OrganMap:
        volume = self.source.read_volume(reconstruction)
        refuse_content(self.source.volume_file(reconstruction), volume)
        grid = covering_grid(volume, self.spacing_mm)
        voxels, affine = resample_volume(volume, grid)
        made = OrganMap(voxels, read_classes(self.source, reconstruction, self.classes, affine, grid.size), affine)
        voxels, classes, affine = (tensor.numpy() for tensor in (made.voxels, made.classes, made.affine))
        with cache_file(self._file(reconstruction)) as file:
            np.savez(file, voxels=voxels, classes=classes, affine=affine, stamp=np.array(stamp))
        return made

    def _file(self, reconstruction: str) -> Path:
        stem = _UNSAFE.sub("_", reconstruction)
        return self._folder / f"{stem}-{hashlib.sha256(reconstruction.encode()).hexdigest()[:8]}.npz"


def _prepare(maps: OrganMaps, reconstruction: str) -> Problem | None:
    try:
        maps.read(reconstruction)
    except BadFileError as bad:
        return bad.problem
    return None


def _load(path: Path, stamp: str) -> OrganMap | None:
    """Content of a file, its checksums compared; None where it is absent, damaged, or made from other files."""
    try:
        with np.load(path, allow_pickle=False) as content:
            if str(content["stamp"]) != stamp:
                return None
            voxels, classes, affine = (torch.from_numpy(content[name]) for name in ("voxels", "classes", "affine"))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    return OrganMap(voxels, classes, affine)
