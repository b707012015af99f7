"""From the voxels of a file to a volume or a verdict: what the readers of every format but NIfTI share."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from simcrop.adapters.formats.geometry import extent, to_ras
from simcrop.adapters.problems.content import ContentScan, content_problems, shape_problems
from simcrop.core.data.problems import BadFileError, OnProblem, problem
from simcrop.core.data.study import Volume

MAX_VOXELS = 2**31
"""Largest volume that is read: a matrix of 1024 x 1024 with 2048 slices."""


@dataclass(frozen=True, eq=False)
class StoredVolume:
    """A volume on the point of being read.

    Attributes:
        shape: voxels along the stored axes.
        dtype: of the chunks.
        affine: maps stored indices to world coordinates in mm, RAS.
        chunks: all voxels in HU, in parts of any length, to be gone through once.
        order: C where the last axis runs fastest in the chunks, F where the first does.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    affine: np.ndarray
    chunks: Iterator[np.ndarray]
    order: Literal["C", "F"]


def read_stored(path: Path, opening: AbstractContextManager[StoredVolume]) -> Volume:
    """The volume in RAS+ axis order: int16 where that loses nothing, else float32; obliquity stays in the affine.

    Args:
        path: for messages.
        opening: of the file.

    Raises:
        BadFileError: what `opening` raises, or NaN.
    """
    data = bytearray()
    with opening as stored:
        for chunk in stored.chunks:
            data += np.ascontiguousarray(chunk, stored.dtype).data.cast("B")
    voxels = np.frombuffer(data, stored.dtype).reshape(stored.shape, order=stored.order)
    fits = voxels.dtype.kind in "iu" and voxels.min() >= -(2**15) and voxels.max() < 2**15
    with np.errstate(over="ignore"):
        turned, affine = to_ras(voxels, stored.affine, np.int16 if fits else np.float32)
    if not fits and not np.isfinite(turned).all():
        count = int((~np.isfinite(turned)).sum())
        raise BadFileError(problem(path, "content.not_finite", f"holds {count} NaN or infinite voxels", count=count))
    return Volume(torch.from_numpy(turned), torch.from_numpy(affine))


def inspect_stored(path: Path, opening: AbstractContextManager[StoredVolume], on_problem: OnProblem) -> str | None:
    """Tell all that is wrong with a file, holding one of its chunks at a time.

    Args:
        path: for messages.
        opening: of the file; it tells `on_problem` itself of what can be passed over.
        on_problem: is told.

    Returns:
        A hash of the voxels, or None where they cannot be read.
    """
    scan = ContentScan()
    try:
        with opening as stored:
            for chunk in stored.chunks:
                scan.add(chunk)
    except BadFileError as bad:
        on_problem(bad.problem)
        return None
    shape, spacing = extent(stored.shape, stored.affine)
    for found in shape_problems(path, shape, spacing):
        on_problem(found)
    for found in content_problems(path, scan):
        on_problem(found)
    return scan.digest


def check_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The shape, where it is that of a volume which may be read.

    Raises:
        BadFileError: not three sizes, one below 1, or more voxels than any scan has.
    """
    if any(n < 1 for n in shape):
        raise BadFileError(problem(path, "header.dims", f"declares {list(shape)} voxels", shape=list(shape)))
    if len(shape) != 3:
        message = f"declares {list(shape)} voxels; a 3D volume is needed"
        raise BadFileError(problem(path, "content.not_3d", message, shape=list(shape)))
    if math.prod(shape) > MAX_VOXELS:
        message = f"declares {list(shape)} voxels, above the limit of 2^31"
        raise BadFileError(problem(path, "header.dims_huge", message, shape=list(shape)))
    x, y, z = shape
    return x, y, z


def hu_dtype(slope: float, intercept: float) -> np.dtype[Any]:
    """Of slope * stored + intercept, for stored numbers of 16 bits: int32 where that loses nothing, else float32."""
    is_whole = slope == round(slope) and intercept == round(intercept)
    return np.dtype(np.int32 if is_whole and abs(slope) < 2**10 and abs(intercept) < 2**20 else np.float32)
