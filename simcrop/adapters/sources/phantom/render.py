"""A study's specification turned into a volume in Hounsfield units and the masks of what its report speaks of."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from simcrop.adapters.sources.phantom.anatomy import Array
from simcrop.adapters.sources.phantom.body import paint_chest
from simcrop.adapters.sources.phantom.canvas import Canvas, union
from simcrop.adapters.sources.phantom.findings import RULES
from simcrop.adapters.sources.phantom.scene import Part, region
from simcrop.adapters.sources.phantom.specification import Reconstruction, StudySpec

Mask = NDArray[np.bool_]

ORGANS = ("left_lung", "right_lung", "trachea")


@dataclass(frozen=True)
class Rendering:
    """One reconstruction as it is stored.

    Attributes:
        hu: int16 in the stored array's order.
        affine: stored voxel index to RAS world coordinates, mm.
        masks: name -> bool on the same grid: the three organs, and every place that a sentence names.
    """

    hu: NDArray[np.int16]
    affine: NDArray[np.float64]
    masks: dict[str, Mask]


def mask_name(place: str | int) -> str:
    """File stem of the mask of an organ or of a lesion's number."""
    return place if isinstance(place, str) else f"lesion_{place:02d}"


def render(study: StudySpec, grid: Reconstruction) -> Rendering:
    """Paint one reconstruction of a study."""
    canvas = _empty_canvas(study, grid)
    scene = paint_chest(canvas, study.anatomy)
    masks: dict[str, Mask] = {}
    for number, lesion in enumerate(study.lesions):
        masks[mask_name(number)] = _threshold(canvas, RULES[lesion.finding].paint(scene, lesion))
    wanted = {s.place for s in study.sentences if isinstance(s.place, str)} | set(ORGANS)
    for name in sorted(wanted):
        masks[name] = _threshold(canvas, region(scene, name))
    generator = np.random.default_rng(grid.seed)
    noisy = canvas.hu + np.float32(grid.noise_hu) * generator.standard_normal(canvas.hu.shape, dtype=np.float32)
    image = gaussian_filter(noisy, (grid.blur, grid.blur, 0.7 * grid.blur), truncate=2.5)
    hu = np.rint(np.clip(image, -1024, 3071)).astype(np.int16)
    flips = tuple(slice(None, None, 1 if code in "RAS" else -1) for code in grid.orientation)
    stored = {name: mask[flips] for name, mask in masks.items()}
    return Rendering(hu[flips], affine_of(grid), stored)


def affine_of(grid: Reconstruction) -> NDArray[np.float64]:
    """Stored voxel index to RAS world coordinates."""
    signs = np.array([1 if code in "RAS" else -1 for code in grid.orientation])
    axes = _rotation(grid.tilt_deg) * (signs * np.asarray(grid.spacing_mm))
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = np.asarray(grid.origin_mm) - axes @ ((np.asarray(grid.shape) - 1) / 2)
    return affine


def _rotation(degrees: tuple[float, float, float]) -> NDArray[np.float64]:
    total = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        total = turn @ total
    return total


def _empty_canvas(study: StudySpec, grid: Reconstruction) -> Canvas:
    axes: list[Array] = []
    for count, spacing, center, scale in zip(
        grid.shape, grid.spacing_mm, grid.center_mm, study.anatomy.scale, strict=True
    ):
        axes.append((((np.arange(count) - (count - 1) / 2) * spacing + center) / scale).astype(np.float32))
    hu = np.full(grid.shape, -1000, dtype=np.float32)
    return Canvas(axes[0], axes[1], axes[2], study.anatomy.scale, hu)


def _threshold(canvas: Canvas, parts: Iterable[Part]) -> Mask:
    """Voxels at least half inside; for what is thinner than a voxel, those it fills most."""
    total = union(canvas, list(parts))
    return total >= min(0.5, 0.8 * float(total.max()))
