"""Findings of the pleura, heart, vessels and mediastinum, and devices. Each painter returns what it changed."""

import numpy as np

from simcrop.adapters.sources.phantom import anatomy as shape
from simcrop.adapters.sources.phantom.anatomy import Array
from simcrop.adapters.sources.phantom.canvas import union
from simcrop.adapters.sources.phantom.lung_lesions import blob, sides
from simcrop.adapters.sources.phantom.scene import Part, Scene
from simcrop.adapters.sources.phantom.sites import Lesion


def pleural(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas = scene.canvas
    z, parts = canvas.z[None, None, :], []
    for side in sides(lesion):
        top = -40 + 1.5 * lesion.size_mm
        level = lesion.size_mm * np.sqrt(np.clip((top - z) / (top + 120), 0, 1))
        weight = canvas.soft(scene.depth_of_lung(side) - level, 4.0) * scene.lungs[side] * (level > 0)
        canvas.paint(canvas.whole(), weight, lesion.hu)
        scene.lungs[side] *= 1 - weight
        parts.append((canvas.whole(), weight))
    return parts


def cardiomegaly(scene: Scene, lesion: Lesion) -> list[Part]:
    return scene.parts["heart"]


def pericardial(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas, anatomy = scene.canvas, scene.anatomy
    thickness = lesion.size_mm / canvas.scale[0]
    box = canvas.around(anatomy.heart_center, max(anatomy.heart) + 24 + thickness)
    x, y, z = canvas.coordinates(box)
    distance = shape.heart_distance(anatomy, x, y, z)
    room = np.maximum(shape.cavity_distance(anatomy, x, y, z), shape.dome_height(anatomy, x, y) - z - 4)
    outer = np.maximum(distance - thickness, room)
    weight = canvas.soft(outer) * (1 - canvas.soft(distance))
    weight *= 1 - union(canvas, scene.parts["aorta"] + scene.parts["trachea"])[box]
    canvas.paint(box, weight, lesion.hu)
    scene.displace_lung(box, weight)
    return [(box, weight)]


def _plaques(scene: Scene, lesion: Lesion, centers: list[Array], along: Array) -> list[Part]:
    half = max(lesion.size_mm / 2 - 3.0, 0.5) * along
    return [scene.canvas.rod(center - half, center + half, lesion.hu, 3.0) for center in centers]


def artery(scene: Scene, lesion: Lesion) -> list[Part]:
    generator = np.random.default_rng(lesion.seed)
    first, last = shape.AORTA_PARTS[lesion.site]
    centers: list[Array] = []
    along = np.zeros(3)
    for _ in range(int(generator.integers(5, 10))):
        piece = int(generator.integers(first, last))
        start, end = np.asarray(shape.AORTA[piece]), np.asarray(shape.AORTA[piece + 1])
        point = start + generator.uniform(0.15, 0.85) * (end - start)
        along = (end - start)[:3] / np.linalg.norm((end - start)[:3])
        across = np.cross(along, generator.standard_normal(3))
        centers.append(point[:3] + across / np.linalg.norm(across) * (point[3] - 1.5))
    return _plaques(scene, lesion, centers, along)


def coronary(scene: Scene, lesion: Lesion) -> list[Part]:
    generator = np.random.default_rng(lesion.seed)
    outward = np.asarray(lesion.center) - np.asarray(scene.anatomy.heart_center)
    along = shape.HEART_AXES[0] - (shape.HEART_AXES[0] @ outward) / (outward @ outward) * outward
    along = along / np.linalg.norm(along)
    steps = generator.uniform(-18, 18, size=int(generator.integers(3, 6)))
    return _plaques(scene, lesion, [np.asarray(lesion.center) + step * along for step in steps], along)


def hernia(scene: Scene, lesion: Lesion) -> list[Part]:
    canvas = scene.canvas
    half = canvas.millimetres(lesion.size_mm / 2) * shape.as_array((1.0, 0.8, 0.9))
    box, distance = canvas.ellipsoid(lesion.center, half)
    weight = canvas.soft(distance)
    canvas.paint(box, weight, lesion.hu)
    canvas.paint(box, canvas.soft(distance + 6), -60.0)
    y = canvas.coordinates(box)[1]
    canvas.paint(box, canvas.soft(np.maximum(distance + 6, lesion.center[1] + 0.12 * lesion.size_mm - y)), -900.0)
    scene.displace_lung(box, weight)
    return [(box, weight)]


def node(scene: Scene, lesion: Lesion) -> list[Part]:
    box, distance = blob(scene, lesion, 0.12, (1.0, 1.0, 1.35))
    weight = scene.canvas.soft(distance)
    scene.canvas.paint(box, weight, lesion.hu)
    scene.displace_lung(box, weight)
    return [(box, weight)]


def material(scene: Scene, lesion: Lesion) -> list[Part]:
    front = scene.anatomy.lung_depth
    wires: dict[str, list[tuple[tuple[float, float, float], tuple[float, float, float], float]]] = {
        "pacemaker": [
            ((-86, front - 8, 78), (-64, front - 2, 64), 16.0),
            ((-66, front - 10, 84), (-8, 24, 88), 1.6), ((-8, 24, 88), (24, 14, 70), 1.6),
            ((24, 14, 70), (24, 10, -20), 1.6), ((24, 10, -20), (-24, 34, -70), 1.6),
        ],
        "port": [
            ((72, front - 6, 72), (80, front - 4, 64), 14.0),
            ((70, front - 8, 76), (26, 20, 98), 1.7), ((26, 20, 98), (26, 12, 10), 1.7),
        ],
        "catheter": [((34, 16, 150), (25, 14, 90), 2.0), ((25, 14, 90), (26, 12, 0), 2.0)],
        "sternotomy": [((-13, front + 4, z), (13, front + 4, z), 2.2) for z in (-20.0, 2.0, 24.0, 46.0, 68.0)],
    }  # fmt: skip
    return [scene.canvas.rod(start, end, lesion.hu, radius) for start, end, radius in wires[lesion.kind]]
