"""Look at the headers of masks of organs: whether each can be opened, and lies where its volume lies."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simcrop.adapters.formats.geometry import corners_apart, extent, grids_meet, ras_grid
from simcrop.adapters.formats.opening import opened, suffix_of
from simcrop.adapters.loading.own_grid import OwnGrid, own_grid
from simcrop.adapters.problems.paths import is_file
from simcrop.adapters.system.pool import Progress, run_all, usable_cores
from simcrop.core.data.problems import BadFileError, Problem, problem
from simcrop.core.errors import DataError
from simcrop.core.ports import DataSet, OrganSource
from simcrop.core.recipe import Size

_SAME_PLACE = 0.1
"""Of a voxel: corners that lie closer together are the same."""


def organ_problems(
    source: DataSet,
    organs: OrganSource,
    names: Sequence[str],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Problem]:
    """What is wrong with the masks of organs, by the order of their volumes. Voxels are first read when they are used.

    Args:
        source: of the volumes; those that cannot be opened are passed over, as they are told elsewhere.
        organs: of the masks.
        names: of the volumes.
        workers: processes; all cores by default.
        progress: told of volumes done and in all.
    """
    report = progress or (lambda done, total: None)
    report(0, len(names))
    found: dict[str, list[Problem]] = {}
    for name, problems in run_all(_problems_of, (source, organs), names, workers or usable_cores()):
        found[name] = problems
        report(len(found), len(names))
    return [problem for name in names for problem in found[name]]


def _problems_of(shared: tuple[DataSet, OrganSource], name: str) -> list[Problem]:
    source, organs = shared
    try:
        masks = [path for path in organs.organ_files(name) if suffix_of(path.name)]
    except BadFileError as bad:
        return [bad.problem]
    except DataError as error:
        return [problem(source.volume_file(name), "text.value", str(error))]
    try:
        grid = own_grid(source, name) if masks else None
    except (DataError, OSError, ValueError):
        return []
    return [] if grid is None else [found for path in masks for found in _problems_of_mask(path, grid)]


def _problems_of_mask(path: Path, grid: OwnGrid) -> list[Problem]:
    if not is_file(path):
        return [problem(path, "container.missing", "does not exist, and is listed as a mask")]
    told: list[Problem] = []
    try:
        with opened(path, on_problem=told.append) as stored:
            shape, affine = stored.shape, np.asarray(stored.affine, np.float64)
    except BadFileError as bad:
        return [*told, bad.problem]
    own = grid.affine.numpy()
    if not grids_meet(own, grid.size, affine, shape):
        message = f"lies wholly outside its volume: {_words(shape, affine)}, of a volume of {_words(grid.size, own)}"
        return [*told, problem(path, "masks.elsewhere", message)]
    (size, ours), (other_size, theirs) = ras_grid(grid.size, own), ras_grid(shape, affine)
    limit = _SAME_PLACE * float(np.linalg.norm(ours[:3, :3], axis=0).min())
    if size == other_size and corners_apart(ours, theirs, size) <= limit:
        return told
    message = f"has {_words(shape, affine)}, and its volume {_words(grid.size, own)}"
    return [*told, problem(path, "masks.grid", message)]


def _words(shape: Size, affine: np.ndarray) -> str:
    """A grid along right, front and head, and where its middle lies."""
    size, spacing_mm = extent(shape, affine)
    middle = affine @ [*((n - 1) / 2 for n in shape), 1]
    return (
        f"{' x '.join(map(str, size))} voxels of {' x '.join(f'{mm:.3g}' for mm in spacing_mm)} mm "
        f"around ({', '.join(f'{mm:.0f}' for mm in middle[:3])}) mm"
    )
