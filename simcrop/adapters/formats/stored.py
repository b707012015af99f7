"""From the voxels of a file to a volume or a verdict: what the readers of every format share."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from simcrop.adapters.formats.container import voxel_chunks
from simcrop.adapters.formats.geometry import extent, to_ras
from simcrop.adapters.problems.content import (
    ContentScan,
    PaddingValue,
    Scaling,
    content_problems,
    padding_values,
    shape_problems,
)
from simcrop.core.data.augment import AIR_HU
from simcrop.core.data.problems import BadFileError, OnProblem, bad_file
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
        chunks: all stored numbers, in parts of any length, to be gone through once.
        order: C where the last axis runs fastest in the chunks, F where the first does.
        scaling: turns the stored numbers into HU.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    affine: np.ndarray
    chunks: Iterator[np.ndarray]
    order: Literal["C", "F"]
    scaling: Scaling = (1.0, 0.0)


@dataclass(frozen=True, eq=False)
class Header:
    """Header of a file after the checks; the first axis runs fastest.

    Attributes:
        shape: voxels along the stored axes.
        dtype: of the stored numbers, byte order included.
        affine: maps stored indices to world coordinates in mm, RAS.
        data_file: holds the voxels.
        offset: byte of the first one, or of the packed ones.
        scaling: the header's own; (1, 0) where it has none.
        packing: of the voxels, where it is not that of the whole file.
        packed_bytes: how long they are then, where the header says so.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    affine: np.ndarray
    data_file: Path
    offset: int
    scaling: Scaling = (1.0, 0.0)
    packing: Literal["raw", "gzip", "zlib"] = "raw"
    packed_bytes: int | None = None

    @property
    def num_bytes(self) -> int:
        """Of the voxels, unpacked."""
        return math.prod(self.shape) * self.dtype.itemsize


def stored_behind(header: Header, stream: Any, start: bytes = b"") -> StoredVolume:
    """The volume whose voxels come next.

    Args:
        header: of the file.
        stream: its unpacked bytes behind `start`; without that, from the first voxel on.
        start: its first bytes.
    """
    sizes = {"num_bytes": header.num_bytes, "item": header.dtype.itemsize}
    parts = voxel_chunks(header.data_file, stream, start, offset=header.offset if start else 0, **sizes)
    chunks = (np.frombuffer(part, header.dtype) for part in parts)
    return StoredVolume(header.shape, header.dtype, header.affine, chunks, "F", header.scaling)


def read_stored(
    path: Path, opening: AbstractContextManager[StoredVolume], padding_value: PaddingValue = None
) -> Volume:
    """The volume in RAS+ axis order: int16 where that loses nothing, else float32; obliquity stays in the affine.

    Args:
        path: for messages.
        opening: of the file.
        padding_value: HU that stand for "outside the field of view" and are read as air.

    Raises:
        BadFileError: what `opening` raises, or NaN.
    """
    data = bytearray()
    with opening as stored:
        for chunk in stored.chunks:
            data += np.ascontiguousarray(chunk, stored.dtype).view(np.uint8).data
    voxels = np.frombuffer(data, stored.dtype).reshape(stored.shape, order=stored.order)
    voxels = _scaled(voxels, *stored.scaling)
    fits = voxels.dtype.kind in "iu" and voxels.min() >= -(2**15) and voxels.max() < 2**15
    with np.errstate(over="ignore"):
        turned, affine = to_ras(voxels, stored.affine, np.int16 if fits else np.float32)
    if not fits and not np.isfinite(turned).all():
        count = int((~np.isfinite(turned)).sum())
        raise bad_file(path, "content.not_finite", f"holds {count} NaN or infinite voxels", count=count)
    found = torch.from_numpy(turned)
    for value in padding_values(padding_value):
        found = torch.where(found == value, AIR_HU, found)
    return Volume(found, torch.from_numpy(affine))


def inspect_stored(
    path: Path,
    opening: AbstractContextManager[StoredVolume],
    on_problem: OnProblem,
    *,
    padding_value: PaddingValue = None,
    expects_hu: bool = True,
) -> str | None:
    """Tell all that is wrong with a file, holding one of its chunks at a time.

    Args:
        path: for messages.
        opening: of the file; it tells `on_problem` itself of what can be passed over.
        on_problem: is told.
        padding_value: HU that stand for "outside the field of view", and are not judged.
        expects_hu: False for masks and pictures.

    Returns:
        A hash of the stored voxels, or None where they cannot be read.
    """
    try:
        with opening as stored:
            scan = ContentScan(math.prod(stored.shape), stored.scaling, padding_value)
            for chunk in stored.chunks:
                scan.add(chunk)
    except BadFileError as bad:
        on_problem(bad.problem)
        return None
    shape, spacing = extent(stored.shape, stored.affine)
    for found in (*shape_problems(path, shape, spacing), *content_problems(path, scan, expects_hu=expects_hu)):
        on_problem(found)
    return scan.digest


def _scaled(stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Numbers in HU: whole ones where nothing is lost by that."""
    if (slope, intercept) == (1.0, 0.0):
        return stored
    is_whole = slope == round(slope) and intercept == round(intercept)
    is_small = stored.dtype.itemsize <= 4 and abs(slope) < 2**30 and abs(intercept) < 2**30
    if stored.dtype.kind in "iu" and is_whole and is_small:
        return stored.astype(np.int64) * int(slope) + int(intercept)
    with np.errstate(over="ignore"):  # what is beyond any HU becomes infinite, and is refused as such
        return stored * np.float64(slope) + np.float64(intercept)


def check_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The shape, where it is that of a volume which may be read.

    Raises:
        BadFileError: not three sizes, one below 1, or more voxels than any scan has.
    """
    if any(n < 1 for n in shape):
        raise bad_file(path, "header.dims", f"declares {list(shape)} voxels", shape=list(shape))
    if len(shape) != 3:
        message = f"declares {list(shape)} voxels; a 3D volume is needed"
        raise bad_file(path, "content.not_3d", message, shape=list(shape))
    if math.prod(shape) > MAX_VOXELS:
        message = f"declares {list(shape)} voxels, above the limit of 2^31"
        raise bad_file(path, "header.dims_huge", message, shape=list(shape))
    x, y, z = shape
    return x, y, z


def hu_dtype(slope: float, intercept: float) -> np.dtype[Any]:
    """Of slope * stored + intercept, for stored numbers of 16 bits: int32 where that loses nothing, else float32."""
    is_whole = slope == round(slope) and intercept == round(intercept)
    return np.dtype(np.int32 if is_whole and abs(slope) < 2**10 and abs(intercept) < 2**20 else np.float32)
