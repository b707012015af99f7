"""A volume being painted: coordinates of its voxels, and soft-edged shapes mixed into it box by box."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcrop.adapters.sources.phantom.anatomy import Array

Box = tuple[slice, slice, slice]
Point = Sequence[float] | Array

_FIELD_EXTENT = 180.0


@dataclass(frozen=True)
class Canvas:
    """Hounsfield units on a grid along the body frame's axes.

    Attributes:
        x, y, z: coordinates of the voxel centres in the body frame.
        scale: mm of the body-frame unit along each axis.
        hu: [len(x), len(y), len(z)], painted in place.
    """

    x: Array
    y: Array
    z: Array
    scale: tuple[float, float, float]
    hu: Array

    @property
    def step(self) -> tuple[float, float, float]:
        """Voxel spacing in body-frame units."""
        return float(self.x[1] - self.x[0]), float(self.y[1] - self.y[0]), float(self.z[1] - self.z[0])

    def box(self, low: Point, high: Point) -> Box:
        """Index box that covers the body-frame box from `low` to `high`, one voxel wider, clipped to the grid."""
        slices: list[slice] = []
        for axis, step, lo, hi in zip((self.x, self.y, self.z), self.step, low, high, strict=True):
            start = int(np.clip(np.floor((lo - axis[0]) / step), 0, len(axis)))
            stop = int(np.clip(np.ceil((hi - axis[0]) / step) + 1, start, len(axis)))
            slices.append(slice(start, stop))
        return slices[0], slices[1], slices[2]

    def around(self, center: Point, reach: Point | float) -> Box:
        """Index box around a point."""
        reach_3 = np.broadcast_to(np.asarray(reach, dtype=np.float64), 3)
        return self.box(np.asarray(center) - reach_3, np.asarray(center) + reach_3)

    def whole(self) -> Box:
        """The box of every voxel."""
        return slice(0, len(self.x)), slice(0, len(self.y)), slice(0, len(self.z))

    def coordinates(self, box: Box) -> tuple[Array, Array, Array]:
        """x, y, z of the box's voxels, shaped to broadcast together."""
        return self.x[box[0], None, None], self.y[None, box[1], None], self.z[None, None, box[2]]

    def soft(self, distance: Array, edge: float | None = None) -> Array:
        """Share of a voxel inside a shape, from the signed distance of its centre."""
        return np.clip(0.5 - distance / np.float32(edge or self.step[0]), 0, 1, dtype=np.float32)

    def paint(self, box: Box, weight: Array, value: Array | float) -> None:
        """Mix `value` (HU) into the box by `weight` in [0, 1]."""
        view = self.hu[box]
        view += weight * (value - view)

    def capsule(self, start: Point, end: Point, radius: float, end_radius: float | None = None) -> tuple[Box, Array]:
        """Box and signed distance of a tube with round ends, tapering from `radius` to `end_radius`."""
        p, q = np.asarray(start, dtype=np.float32), np.asarray(end, dtype=np.float32)
        last = radius if end_radius is None else end_radius
        reach = max(radius, last) + self.step[0]
        box = self.box(np.minimum(p, q) - reach, np.maximum(p, q) + reach)
        x, y, z = self.coordinates(box)
        along = q - p
        dx, dy, dz = x - p[0], y - p[1], z - p[2]
        t = np.clip((dx * along[0] + dy * along[1] + dz * along[2]) / max(float(along @ along), 1e-6), 0, 1)
        away = np.sqrt((dx - t * along[0]) ** 2 + (dy - t * along[1]) ** 2 + (dz - t * along[2]) ** 2)
        return box, away - (radius + (last - radius) * t)

    def rod(
        self, start: Point, end: Point, hu: float, radius: float, end_radius: float | None = None
    ) -> tuple[Box, Array]:
        """Paint a capsule; its box and weight."""
        box, distance = self.capsule(start, end, radius, end_radius)
        weight = self.soft(distance)
        self.paint(box, weight, hu)
        return box, weight

    def ellipsoid(self, center: Point, half_axes: Point) -> tuple[Box, Array]:
        """Box and approximate signed distance of an ellipsoid along the body axes."""
        half = np.asarray(half_axes, dtype=np.float32)
        box = self.around(center, half + np.asarray(self.step))
        x, y, z = self.coordinates(box)
        radius = np.sqrt(
            ((x - center[0]) / half[0]) ** 2 + ((y - center[1]) / half[1]) ** 2 + ((z - center[2]) / half[2]) ** 2
        )
        return box, ((radius - 1) * half.min()).astype(np.float32)

    def millimetres(self, size_mm: float) -> Array:
        """A length in mm as body-frame lengths along the three axes."""
        return (size_mm / np.asarray(self.scale)).astype(np.float32)


def smooth_field(canvas: Canvas, box: Box, generator: np.random.Generator, cell: float) -> Array:
    """Random field of about unit spread that changes over `cell` units, the same for every grid of a patient."""
    knots = int(2 * _FIELD_EXTENT / cell) + 2
    values = generator.standard_normal((knots, knots, knots), dtype=np.float32) * np.float32(1.6)
    for axis in (2, 1, 0):
        coordinates = (canvas.x, canvas.y, canvas.z)[axis][box[axis]]
        position = np.clip((coordinates + _FIELD_EXTENT) / np.float32(cell), 0, np.float32(knots - 1.001))
        below = position.astype(np.intp)
        part = (position - below).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(3)])
        low = np.take(values, below, axis=axis)
        values = low + part * (np.take(values, below + 1, axis=axis) - low)
    return values


def union(canvas: Canvas, parts: Sequence[tuple[Box, Array]]) -> NDArray[np.float32]:
    """Largest weight of the parts at each voxel of the whole grid."""
    total = np.zeros_like(canvas.hu)
    for box, weight in parts:
        np.maximum(total[box], weight, out=total[box])
    return total
