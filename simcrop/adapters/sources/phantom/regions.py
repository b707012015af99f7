"""Organs and regions of a painted chest that normal statements speak of."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from simcrop.adapters.sources.phantom import anatomy as shape
from simcrop.adapters.sources.phantom.scene import Part, Scene


def region(scene: Scene, name: str) -> list[Part]:
    """Boxes and weights of an organ or region by name; after the lesions, since fluid takes lung away."""
    return REGIONS[name](scene) if name in REGIONS else scene.parts[name]


def _lungs(scene: Scene, *sides: str) -> list[Part]:
    return [(scene.canvas.whole(), scene.lungs[side]) for side in sides]


def _bones(scene: Scene) -> list[Part]:
    return scene.parts["bones"] + scene.parts["spine"]


def _airways(scene: Scene) -> list[Part]:
    tubes = [pair for lobe in shape.LOBES for tube in scene.airways[lobe] for pair in pairwise(tube)]
    capsules = [scene.canvas.capsule(p[:3], q[:3], p[3] + 2, q[3] + 2) for p, q in tubes]
    return [*scene.parts["trachea"], *((box, scene.canvas.soft(distance)) for box, distance in capsules)]


def _upper_lobes(scene: Scene) -> list[Part]:
    whole = scene.canvas.whole()
    _, y, z = scene.canvas.coordinates(whole)
    lobes = ((side, shape.in_lobe(scene.anatomy, f"{side}_upper", y, z)) for side in shape.SIDES)
    return [(whole, scene.lungs[side] * inside) for side, inside in lobes]


def _pericardium(scene: Scene) -> list[Part]:
    whole = scene.canvas.whole()
    distance = shape.heart_distance(scene.anatomy, *scene.canvas.coordinates(whole))
    return [(whole, scene.canvas.soft(np.abs(distance - 2.5) - 4))]


def _hiatus(scene: Scene) -> list[Part]:
    box, distance = scene.canvas.ellipsoid((-9, -34, max(scene.anatomy.domes) - 10), (22, 18, 22))
    return [(box, scene.canvas.soft(distance))]


def _mediastinum(scene: Scene) -> list[Part]:
    whole = scene.canvas.whole()
    x, y, z = scene.canvas.coordinates(whole)
    free = 1 - scene.lungs["right"] - scene.lungs["left"]
    depth = np.maximum(shape.cavity_distance(scene.anatomy, x, y, z), shape.dome_height(scene.anatomy, x, y) - z)
    return [(whole, scene.canvas.soft(np.maximum(depth, np.abs(x) - 60)) * free)]


def _pleural_space(scene: Scene) -> list[Part]:
    """The back of the chest cavity down to the diaphragm, where fluid would gather."""
    z = scene.canvas.z[None, None, :]
    return [
        (scene.canvas.whole(), scene.lungs[side] * (scene.depth_of_lung(side) < 16) * (z < -20)) for side in shape.SIDES
    ]


REGIONS: dict[str, Callable[[Scene], list[Part]]] = {
    "left_lung": lambda scene: _lungs(scene, "left"),
    "right_lung": lambda scene: _lungs(scene, "right"),
    "lungs": lambda scene: _lungs(scene, *shape.SIDES),
    "bones": _bones,
    "airways": _airways,
    "upper_lobes": _upper_lobes,
    "pericardium": _pericardium,
    "hiatus": _hiatus,
    "mediastinum": _mediastinum,
    "pleural_space": _pleural_space,
}
"""Name -> parts, for what is not painted as one organ."""
