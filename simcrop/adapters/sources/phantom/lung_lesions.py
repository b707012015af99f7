"""Findings of the lungs painted into a chest. Each painter returns what it changed, for the mask."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from simcrop.adapters.sources.phantom import anatomy as shape
from simcrop.adapters.sources.phantom.anatomy import Array, Tube
from simcrop.adapters.sources.phantom.body import AIR
from simcrop.adapters.sources.phantom.canvas import Box, smooth_field
from simcrop.adapters.sources.phantom.scene import Part, Scene
from simcrop.adapters.sources.phantom.sites import Lesion


def sides(lesion: Lesion) -> tuple[str, ...]:
    return shape.SIDES if lesion.side == "both" else (lesion.side,)


def _region(scene: Scene, lesion: Lesion) -> Array:
    """Share of the lesion's lungs or lobes in each voxel."""
    canvas = scene.canvas
    _, y, z = canvas.coordinates(canvas.whole())
    total = np.zeros_like(canvas.hu)
    for side in sides(lesion):
        region = scene.lungs[side]
        if lesion.site in ("upper", "lower"):
            region = region * shape.in_lobe(scene.anatomy, f"{side}_{lesion.site}", y, z)
        total += region
    return total


def _lobe(scene: Scene, lesion: Lesion, box: Box) -> Array:
    """Share of the lesion's lobe in the voxels of a box."""
    _, y, z = scene.canvas.coordinates(box)
    return scene.lungs[lesion.side][box] * shape.in_lobe(scene.anatomy, lesion.site, y, z)


def blob(
    scene: Scene, lesion: Lesion, ragged: float, stretch: tuple[float, float, float] = (1, 1, 1)
) -> tuple[Box, Array]:
    """Box and distance of an ellipsoid with an irregular surface."""
    canvas = scene.canvas
    half = canvas.millimetres(lesion.size_mm / 2) * shape.as_array(stretch)
    box, distance = canvas.ellipsoid(lesion.center, half * (1 + ragged))
    field = smooth_field(canvas, box, np.random.default_rng(lesion.seed), max(0.6 * lesion.size_mm, 8.0))
    return box, distance + ragged * half.min() * (1 - field)


def nodule(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas = scene.canvas
    box, _ = canvas.ellipsoid(lesion.center, canvas.millimetres(lesion.size_mm / 2))
    x, y, z = canvas.coordinates(box)
    weight = np.zeros(canvas.hu[box].shape, dtype=np.float32)
    # Slices are thick beside a nodule, so its share of a voxel is averaged over the slice.
    for shift in (-0.375, -0.125, 0.125, 0.375):
        offset = z + shift * canvas.step[2]
        scaled = zip((x, y, offset), lesion.center, canvas.scale, strict=True)
        radius = np.sqrt(sum(((axis - c) * scale) ** 2 for axis, c, scale in scaled))
        weight += 0.25 * canvas.soft(radius - lesion.size_mm / 2)
    canvas.paint(box, weight, lesion.hu)
    return [(box, weight)]


def opacity(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas = scene.canvas
    box, distance = blob(scene, lesion, 0.15 if lesion.kind == "round" else 0.35)
    weight = canvas.soft(distance, 6.0) * _lobe(scene, lesion, box)
    canvas.hu[box] += weight * lesion.hu
    return [(box, weight)]


def consolidation(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas = scene.canvas
    box, distance = blob(scene, lesion, 0.3)
    lobe = _lobe(scene, lesion, box)
    weight = canvas.soft(distance, 4.5) * lobe
    halo = canvas.soft(distance - 6, 10.0) * lobe
    canvas.hu[box] += np.maximum(halo - weight, 0) * 200
    canvas.paint(box, weight, lesion.hu)
    if lesion.kind == "bronchogram":
        generator = np.random.default_rng(lesion.seed)
        for _ in range(3):
            ray = generator.standard_normal(3) * lesion.size_mm * 0.25
            air, tube = canvas.capsule(np.asarray(lesion.center) - ray, np.asarray(lesion.center) + ray, 1.8)
            canvas.paint(air, canvas.soft(tube) * _lobe(scene, lesion, air), -800.0)
    return [(box, weight)]


def atelectasis(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas = scene.canvas
    if lesion.kind == "dependent":
        _, y, z = canvas.coordinates(canvas.whole())
        parts: list[Part] = []
        for side in sides(lesion):
            base = np.clip((20 - z) / 50, 0, 1)
            weight = canvas.soft(scene.depth_of_lung(side) - lesion.size_mm * base, 4.0) * scene.lungs[side]
            weight *= shape.in_lobe(scene.anatomy, f"{side}_lower", y, z) & (z < 10) & (y < 0)
            canvas.paint(canvas.whole(), weight, lesion.hu)
            parts.append((canvas.whole(), weight))
        return parts
    generator = np.random.default_rng(lesion.seed)
    normal = np.array([generator.uniform(-0.5, 0.5), generator.uniform(-0.6, 0.6), 1.0])
    normal /= np.linalg.norm(normal)
    box, disc = canvas.ellipsoid(lesion.center, canvas.millimetres(lesion.size_mm / 2))
    x, y, z = canvas.coordinates(box)
    away = np.abs(sum(n * (axis - c) for n, axis, c in zip(normal, (x, y, z), lesion.center, strict=True)))
    weight = canvas.soft(away - generator.uniform(4.0, 8.0)) * canvas.soft(disc) * _lobe(scene, lesion, box)
    canvas.paint(box, weight, lesion.hu)
    return [(box, weight)]


def fibrosis(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas, generator = scene.canvas, np.random.default_rng(lesion.seed)
    center, parts = np.asarray(lesion.center), []
    box, distance = canvas.ellipsoid(lesion.center, canvas.millimetres(lesion.size_mm / 2))
    haze = canvas.soft(distance, 10.0) * _lobe(scene, lesion, box)
    canvas.hu[box] += haze * np.float32(180)
    parts.append((box, haze))
    for _ in range(int(generator.integers(10, 16))):
        start = center + generator.standard_normal(3) * lesion.size_mm * 0.2
        end = center + generator.standard_normal(3) * lesion.size_mm * 0.34
        box, distance = canvas.capsule(start, end, float(generator.uniform(3.0, 6.0)), 1.0)
        lobe = _lobe(scene, lesion, box)
        canvas.paint(box, canvas.soft(distance) * lobe, lesion.hu)
        parts.append((box, canvas.soft(distance - 1.5) * lobe))
    return parts


def _airways(scene: Scene, side: str, tubes: Sequence[Tube], layers: Sequence[tuple[float, float]]) -> list[Part]:
    """Paint tubes in a lung layer by layer; a layer is how much wider it is than the tube, and its HU."""
    parts: list[Part] = []
    for wall, hu in layers:
        for first, last in (pair for tube in tubes for pair in pairwise(tube)):
            box, distance = scene.canvas.capsule(first[:3], last[:3], first[3] + wall, last[3] + wall)
            weight = scene.canvas.soft(distance) * (scene.lungs[side][box] > 0.3)
            scene.canvas.paint(box, weight, hu)
            parts.append((box, weight))
    return parts


def bronchiectasis(scene: Scene, lesion: Lesion) -> list[Part]:
    generator, center = np.random.default_rng(lesion.seed), np.asarray(lesion.center)
    outward = center - np.asarray(shape.HILUM[lesion.side])
    outward /= np.linalg.norm(outward)
    radius = lesion.size_mm / 2 - 1
    tubes: list[Tube] = []
    for _ in range(int(generator.integers(14, 22))):
        start = center + generator.standard_normal(3) * 24
        end = start + outward * 10 + generator.standard_normal(3) * 3
        tubes.append(((*(start - outward * 10), radius), (*end, radius)))
    return _airways(scene, lesion.side, tubes, ((3.0, 10.0), (0.0, AIR)))


def emphysema(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas, generator = scene.canvas, np.random.default_rng(lesion.seed)
    region = _region(scene, lesion)
    holes = np.clip(smooth_field(canvas, canvas.whole(), generator, 11.0) - 0.15, 0, 1) * region
    canvas.hu[...] -= holes * np.float32(lesion.hu) + region * np.float32(110)
    np.maximum(canvas.hu, -1005, out=canvas.hu)
    return [(canvas.whole(), region)]


def mosaic(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas, generator = scene.canvas, np.random.default_rng(lesion.seed)
    region = _region(scene, lesion)
    bright = np.clip(3 * smooth_field(canvas, canvas.whole(), generator, 30.0) + 0.8, 0, 1) * region
    canvas.hu[...] += bright * np.float32(lesion.hu) - region * np.float32(0.1 * lesion.hu)
    return [(canvas.whole(), region)]


def septal(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas, generator = scene.canvas, np.random.default_rng(lesion.seed)
    region = _region(scene, lesion)
    x, y, z = canvas.coordinates(canvas.whole())
    warp = smooth_field(canvas, canvas.whole(), generator, 30.0) * 0.8
    tau = np.float32(2 * np.pi / 34)
    lines = np.minimum(np.abs(np.sin(tau * (x + 0.5 * z) + warp)), np.abs(np.sin(tau * (y - 0.6 * z) - warp)))
    canvas.hu[...] += (np.clip(1 - lines / 0.4, 0, 1) * np.float32(lesion.hu) + np.float32(110)) * region
    return [(canvas.whole(), region)]


def peribronchial(scene: Scene, lesion: Lesion) -> list[Part]:
    parts: list[Part] = []
    for side in sides(lesion):
        lobes = [f"{side}_lower"] if lesion.site == "lower" else [n for n in shape.LOBES if n.startswith(side)]
        tubes = [tube for lobe in lobes for tube in scene.airways[lobe]]
        parts += _airways(scene, side, tubes, ((lesion.size_mm, lesion.hu), (0.3, AIR)))
    return parts
