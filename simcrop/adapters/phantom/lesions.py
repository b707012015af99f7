"""Findings painted into a chest. Each painter returns the boxes and weights of what it changed, for the mask."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from simcrop.adapters.phantom import anatomy as shape
from simcrop.adapters.phantom.anatomy import Array
from simcrop.adapters.phantom.body import AIR, Part, Scene
from simcrop.adapters.phantom.canvas import Box, smooth_field
from simcrop.adapters.phantom.findings import Lesion

Painter = Callable[[Scene, Lesion], list[Part]]


def paint_lesion(scene: Scene, lesion: Lesion) -> list[Part]:
    """Paint one lesion; returns its parts (never empty)."""
    return PAINTERS[lesion.finding](scene, lesion)


def _sides(lesion: Lesion) -> tuple[str, ...]:
    return shape.SIDES if lesion.side == "both" else (lesion.side,)


def _region(scene: Scene, lesion: Lesion) -> Array:
    """Share of the lesion's lungs or lobes in each voxel."""
    canvas = scene.canvas
    _, y, z = canvas.coordinates(canvas.whole())
    total = np.zeros_like(canvas.hu)
    for side in _sides(lesion):
        region = scene.lungs[side]
        if lesion.site in ("upper", "lower"):
            region = region * shape.in_lobe(scene.anatomy, f"{side}_{lesion.site}", y, z)
        total += region
    return total


def _lobe(scene: Scene, lesion: Lesion, box: Box) -> Array:
    """Share of the lesion's lobe in the voxels of a box."""
    _, y, z = scene.canvas.coordinates(box)
    return scene.lungs[lesion.side][box] * shape.in_lobe(scene.anatomy, lesion.site, y, z)


def _blob(
    scene: Scene, lesion: Lesion, ragged: float, stretch: tuple[float, float, float] = (1, 1, 1)
) -> tuple[Box, Array]:
    """Box and distance of an ellipsoid with an irregular surface."""
    canvas = scene.canvas
    half = canvas.millimetres(lesion.size_mm / 2) * np.float32(stretch)
    box, distance = canvas.ellipsoid(lesion.center, half * (1 + ragged))
    field = smooth_field(canvas, box, np.random.default_rng(lesion.seed), max(0.6 * lesion.size_mm, 8.0))
    return box, distance + ragged * half.min() * (1 - field)


def _nodule(scene: Scene, lesion: Lesion) -> list[Part]:
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


def _opacity(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas = scene.canvas
    box, distance = _blob(scene, lesion, 0.15 if lesion.kind == "round" else 0.35)
    weight = canvas.soft(distance, 6.0) * _lobe(scene, lesion, box)
    canvas.hu[box] += weight * lesion.hu
    return [(box, weight)]


def _consolidation(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas = scene.canvas
    box, distance = _blob(scene, lesion, 0.3)
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


def _depth(scene: Scene, side: str) -> Array:
    """Millimetres of lung behind each voxel: fluid and collapsed lung gather at the back of a lying patient."""
    return np.cumsum(scene.lungs[side], axis=1) * np.float32(scene.canvas.step[1] * scene.canvas.scale[1])


def _atelectasis(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas = scene.canvas
    if lesion.kind == "dependent":
        _, y, z = canvas.coordinates(canvas.whole())
        parts: list[Part] = []
        for side in _sides(lesion):
            base = np.clip((20 - z) / 50, 0, 1)
            weight = canvas.soft(_depth(scene, side) - lesion.size_mm * base, 4.0) * scene.lungs[side]
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
    weight = canvas.soft(away - generator.uniform(2.6, 4.5)) * canvas.soft(disc) * _lobe(scene, lesion, box)
    canvas.paint(box, weight, lesion.hu)
    return [(box, weight)]


def _fibrosis(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas, generator = scene.canvas, np.random.default_rng(lesion.seed)
    center, parts = np.asarray(lesion.center), []
    for _ in range(int(generator.integers(6, 11))):
        start = center + generator.standard_normal(3) * lesion.size_mm * 0.2
        end = center + generator.standard_normal(3) * lesion.size_mm * 0.34
        box, distance = canvas.capsule(start, end, float(generator.uniform(2.0, 4.0)), 1.0)
        lobe = _lobe(scene, lesion, box)
        canvas.paint(box, canvas.soft(distance) * lobe, lesion.hu)
        parts.append((box, canvas.soft(distance - 1.5) * lobe))
    return parts


def _bronchiectasis(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas, generator = scene.canvas, np.random.default_rng(lesion.seed)
    center, parts = np.asarray(lesion.center), []
    outward = center - np.asarray(shape.HILUM[lesion.side])
    outward /= np.linalg.norm(outward)
    tubes = []
    for _ in range(int(generator.integers(6, 11))):
        start = center + generator.standard_normal(3) * 14
        tubes.append((start - outward * 10, start + outward * 10 + generator.standard_normal(3) * 3))
    for wall, hu in ((2.0, 10.0), (0.0, AIR)):
        for start, end in tubes:
            box, distance = canvas.capsule(start, end, lesion.size_mm / 2 - 1 + wall)
            weight = canvas.soft(distance) * (scene.lungs[lesion.side][box] > 0.3)
            canvas.paint(box, weight, hu)
            parts.append((box, weight))
    return parts


def _emphysema(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas, generator = scene.canvas, np.random.default_rng(lesion.seed)
    region = _region(scene, lesion)
    holes = np.clip(smooth_field(canvas, canvas.whole(), generator, 11.0) - 0.15, 0, 1) * region
    canvas.hu[...] -= holes * np.float32(lesion.hu) + region * np.float32(45)
    np.maximum(canvas.hu, -1005, out=canvas.hu)
    return [(canvas.whole(), region)]


def _mosaic(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas, generator = scene.canvas, np.random.default_rng(lesion.seed)
    region = _region(scene, lesion)
    bright = np.clip(3 * smooth_field(canvas, canvas.whole(), generator, 30.0) + 0.5, 0, 1) * region
    canvas.hu[...] += bright * np.float32(lesion.hu) - region * np.float32(0.45 * lesion.hu)
    return [(canvas.whole(), region)]


def _septal(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas, generator = scene.canvas, np.random.default_rng(lesion.seed)
    region = _region(scene, lesion)
    x, y, z = canvas.coordinates(canvas.whole())
    warp = smooth_field(canvas, canvas.whole(), generator, 30.0) * 0.8
    tau = np.float32(2 * np.pi / 34)
    lines = np.minimum(np.abs(np.sin(tau * (x + 0.5 * z) + warp)), np.abs(np.sin(tau * (y - 0.6 * z) - warp)))
    canvas.hu[...] += np.clip(1 - lines / 0.4, 0, 1) * region * np.float32(lesion.hu)
    return [(canvas.whole(), region)]


def _peribronchial(scene: Scene, lesion: Lesion) -> list[Part]:
    parts: list[Part] = []
    for side in _sides(lesion):
        lobes = [f"{side}_lower"] if lesion.site == "lower" else [n for n in shape.LOBES if n.startswith(side)]
        tubes = [tube for lobe in lobes for tube in scene.airways[lobe]]
        for wall, hu in ((lesion.size_mm, lesion.hu), (0.3, AIR)):
            for first, last in (pair for tube in tubes for pair in pairwise(tube)):
                box, distance = scene.canvas.capsule(first[:3], last[:3], first[3] + wall, last[3] + wall)
                weight = scene.canvas.soft(distance) * (scene.lungs[side][box] > 0.3)
                scene.canvas.paint(box, weight, hu)
                parts.append((box, weight))
    return parts


def _pleural(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas = scene.canvas
    z, parts = canvas.z[None, None, :], []
    for side in _sides(lesion):
        top = -40 + 1.5 * lesion.size_mm
        level = lesion.size_mm * np.sqrt(np.clip((top - z) / (top + 120), 0, 1))
        weight = canvas.soft(_depth(scene, side) - level, 4.0) * scene.lungs[side] * (level > 0)
        canvas.paint(canvas.whole(), weight, lesion.hu)
        scene.lungs[side] *= 1 - weight
        parts.append((canvas.whole(), weight))
    return parts


def _cardiomegaly(scene: Scene, lesion: Lesion) -> list[Part]:
    return scene.parts["heart"]


def _pericardial(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas, anatomy = scene.canvas, scene.anatomy
    thickness = lesion.size_mm / canvas.scale[0]
    box = canvas.around(anatomy.heart_center, max(anatomy.heart) + 24 + thickness)
    x, y, z = canvas.coordinates(box)
    distance = shape.heart_distance(anatomy, x, y, z)
    outer = np.maximum(distance - thickness, shape.dome_height(anatomy, x, y) - z - 4)
    weight = canvas.soft(outer) * (1 - canvas.soft(distance))
    for name in ("aorta", "trachea"):
        for part_box, part in scene.parts[name]:
            shared = tuple(
                slice(max(a.start, b.start), max(a.start, b.start, min(a.stop, b.stop)))
                for a, b in zip(box, part_box, strict=True)
            )
            inner = tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(shared, box, strict=True))
            part_inner = tuple(
                slice(s.start - b.start, s.stop - b.start) for s, b in zip(shared, part_box, strict=True)
            )
            if weight[inner].size:
                weight[inner] *= 1 - part[part_inner]
    canvas.paint(box, weight, lesion.hu)
    for lung in scene.lungs.values():
        lung[box] *= 1 - weight
    return [(box, weight)]


def _plaques(scene: Scene, lesion: Lesion, centers: list[Array], along: Array) -> list[Part]:
    canvas, parts = scene.canvas, []
    for center in centers:
        half = max(lesion.size_mm / 2 - 2.4, 0.5) * along
        box, distance = canvas.capsule(center - half, center + half, 2.4)
        weight = canvas.soft(distance)
        canvas.paint(box, weight, lesion.hu)
        parts.append((box, weight))
    return parts


def _artery(scene: Scene, lesion: Lesion) -> list[Part]:
    generator = np.random.default_rng(lesion.seed)
    first, last = shape.AORTA_PARTS[lesion.site]
    centers: list[Array] = []
    along = np.zeros(3)
    for _ in range(int(generator.integers(3, 8))):
        piece = int(generator.integers(first, last))
        start, end = np.asarray(shape.AORTA[piece]), np.asarray(shape.AORTA[piece + 1])
        point = start + generator.uniform(0.15, 0.85) * (end - start)
        along = (end - start)[:3] / np.linalg.norm((end - start)[:3])
        across = np.cross(along, generator.standard_normal(3))
        centers.append(point[:3] + across / np.linalg.norm(across) * (point[3] - 1.5))
    return _plaques(scene, lesion, centers, along)


def _coronary(scene: Scene, lesion: Lesion) -> list[Part]:
    generator = np.random.default_rng(lesion.seed)
    outward = np.asarray(lesion.center) - np.asarray(scene.anatomy.heart_center)
    along = shape.HEART_AXES[0] - (shape.HEART_AXES[0] @ outward) / (outward @ outward) * outward
    along = along / np.linalg.norm(along)
    steps = generator.uniform(-14, 14, size=int(generator.integers(2, 5)))
    return _plaques(scene, lesion, [np.asarray(lesion.center) + step * along for step in steps], along)


def _hernia(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas = scene.canvas
    half = canvas.millimetres(lesion.size_mm / 2) * np.float32((1.0, 0.8, 0.9))
    box, distance = canvas.ellipsoid(lesion.center, half)
    weight = canvas.soft(distance)
    canvas.paint(box, weight, lesion.hu)
    canvas.paint(box, canvas.soft(distance + 6), -60.0)
    y = canvas.coordinates(box)[1]
    canvas.paint(box, canvas.soft(np.maximum(distance + 6, lesion.center[1] - y + 2)), -900.0)
    for lung in scene.lungs.values():
        lung[box] *= 1 - weight
    return [(box, weight)]


def _node(scene: Scene, lesion: Lesion) -> list[Part]:
    box, distance = _blob(scene, lesion, 0.12, (1.0, 1.0, 1.35))
    weight = scene.canvas.soft(distance)
    scene.canvas.paint(box, weight, lesion.hu)
    for lung in scene.lungs.values():
        lung[box] *= 1 - weight
    return [(box, weight)]


def _material(scene: Scene, lesion: Lesion) -> list[Part]:
    front = scene.anatomy.lung_depth
    wires: dict[str, list[tuple[tuple[float, float, float], tuple[float, float, float], float]]] = {
        "pacemaker": [
            ((-82, front - 8, 74), (-66, front - 2, 66), 10.0),
            ((-66, front - 10, 84), (-8, 24, 88), 1.6), ((-8, 24, 88), (24, 14, 70), 1.6),
            ((24, 14, 70), (24, 10, -20), 1.6), ((24, 10, -20), (-24, 34, -70), 1.6),
        ],
        "port": [
            ((74, front - 6, 70), (78, front - 4, 66), 9.0),
            ((70, front - 8, 76), (26, 20, 98), 1.7), ((26, 20, 98), (26, 12, 10), 1.7),
        ],
        "catheter": [((34, 16, 150), (25, 14, 90), 2.0), ((25, 14, 90), (26, 12, 0), 2.0)],
        "sternotomy": [((-13, front + 4, z), (13, front + 4, z), 2.2) for z in (-20.0, 2.0, 24.0, 46.0, 68.0)],
    }  # fmt: skip
    parts: list[Part] = []
    for start, end, radius in wires[lesion.kind]:
        box, distance = scene.canvas.capsule(start, end, radius)
        weight = scene.canvas.soft(distance)
        scene.canvas.paint(box, weight, lesion.hu)
        parts.append((box, weight))
    return parts


PAINTERS: dict[str, Painter] = {
    "Mosaic attenuation pattern": _mosaic,
    "Emphysema": _emphysema,
    "Interlobular septal thickening": _septal,
    "Peribronchial thickening": _peribronchial,
    "Bronchiectasis": _bronchiectasis,
    "Lung opacity": _opacity,
    "Consolidation": _consolidation,
    "Pulmonary fibrotic sequela": _fibrosis,
    "Atelectasis": _atelectasis,
    "Lung nodule": _nodule,
    "Pleural effusion": _pleural,
    "Cardiomegaly": _cardiomegaly,
    "Pericardial effusion": _pericardial,
    "Lymphadenopathy": _node,
    "Hiatal hernia": _hernia,
    "Arterial wall calcification": _artery,
    "Coronary artery wall calcification": _coronary,
    "Medical material": _material,
}
