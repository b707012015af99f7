"""Landmarks that tell left from right: bright voxels whose world coordinates are known, found again in a volume."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from simcrop.core.data.problems import Problem
from simcrop.core.data.study import Volume

LANDMARK_HU = 3000


def found_at(volume: Volume) -> list[float]:
    """World coordinates in mm, RAS, of the brightest voxel."""
    index = np.unravel_index(int(torch.argmax(volume.voxels)), volume.voxels.shape)
    return [round(float(mm), 4) for mm in (volume.affine.numpy() @ [*index, 1])[:3]]


def is_ras(volume: Volume) -> bool:
    """Whether the array's axes grow to the right, the front and the head."""
    return bool((volume.affine[:3, :3].diagonal() > 0).all())


def codes(inspect: Callable[[str, Callable[[Problem], None]], object], name: str) -> list[str]:
    """Codes of the errors that an inspection tells of."""
    problems: list[Problem] = []
    inspect(name, problems.append)
    return [found.code for found in problems if found.severity == "error"]


def replace_bytes(path: Path, old: bytes, new: bytes) -> None:
    """Change the first place where some bytes stand in a file."""
    data = path.read_bytes()
    assert old in data, old
    path.write_bytes(data.replace(old, new, 1))


def flip_byte(path: Path, offset: int) -> None:
    """Invert a byte of a file; a negative offset counts from the end."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def slices_first(voxels: np.ndarray) -> np.ndarray:
    """[x, y, z] as [slice, row, column]."""
    return np.ascontiguousarray(np.transpose(voxels, (2, 1, 0)))


def with_landmark(voxels: np.ndarray, index: Sequence[int], value: int = LANDMARK_HU) -> np.ndarray:
    """A copy with one bright voxel."""
    copy = voxels.copy()
    copy[tuple(index)] = value
    return copy
