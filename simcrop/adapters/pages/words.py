"""A place in a scan, in words and in mm."""

import numpy as np
from numpy.typing import NDArray

from simcrop.core.recipe import Size

_MIDLINE_MM = 15.0
"""Half the width of what is neither left nor right."""
_THIRDS = (("posterior", "central", "anterior"), ("lower third", "middle third", "upper third"))
Point = tuple[float, float, float]


def place_in_words(best_mm: Point, shape: Size, affine: NDArray[np.float64]) -> str:
    """Side of the scan's middle, and thirds of its extent, such as "left, posterior, lower third".

    Args:
        best_mm: world coordinates in mm.
        shape: of the scan.
        affine: [4, 4], maps the scan's indices to world coordinates, RAS; its axes may lie in any order.
    """
    corners = np.stack(np.meshgrid(*((-0.5, size - 0.5) for size in shape), indexing="ij"), -1).reshape(-1, 3)
    world = corners @ affine[:3, :3].T + affine[:3, 3]
    low, high = world.min(0), world.max(0)
    right = best_mm[0] - (low[0] + high[0]) / 2
    side = "midline" if abs(right) <= _MIDLINE_MM else "right" if right > 0 else "left"
    thirds = [
        names[int(np.clip(3 * (best_mm[axis] - low[axis]) // (high[axis] - low[axis]), 0, 2))]
        for axis, names in zip((1, 2), _THIRDS, strict=True)
    ]
    return ", ".join([side, *thirds])


def place_in_mm(best_mm: Point) -> str:
    """World coordinates as text."""
    return ", ".join(f"{axis} {mm:.1f}" for axis, mm in zip("xyz", best_mm, strict=True)) + " mm"


def distance_mm(best_mm: Point, inside: NDArray[np.bool_], affine: NDArray[np.float64]) -> float:
    """How far a place is from the nearest voxel of a mask, mm; 0 in it, infinite where the mask is empty.

    Args:
        best_mm: world coordinates in mm.
        inside: [X, Y, Z].
        affine: [4, 4] of the mask.
    """
    index = np.linalg.inv(affine) @ (*best_mm, 1)
    nearest = tuple(int(i) for i in np.rint(index[:3]))
    if all(0 <= i < size for i, size in zip(nearest, inside.shape, strict=True)) and inside[nearest]:
        return 0.0
    world = np.argwhere(inside) @ affine[:3, :3].T + affine[:3, 3]
    return float(np.linalg.norm(world - np.asarray(best_mm), axis=1).min()) if len(world) else float("inf")
