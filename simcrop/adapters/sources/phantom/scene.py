"""A chest while it is painted, and what is known of it: shares of lung, pieces of organs, bronchi."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from simcrop.adapters.sources.phantom import anatomy as shape
from simcrop.adapters.sources.phantom.anatomy import Anatomy, Array, Tube
from simcrop.adapters.sources.phantom.canvas import Box, Canvas

Part = tuple[Box, Array]


@dataclass(frozen=True)
class Scene:
    """A painted chest and what is known of it.

    Attributes:
        lungs: side -> share of lung in each voxel of the grid, in [0, 1].
        parts: organ -> its boxes and weights, for the masks.
        airways: lobe -> tubes of its bronchi.
        seed: of the patient's own random fields.
    """

    canvas: Canvas
    anatomy: Anatomy
    lungs: dict[str, Array] = field(default_factory=dict)
    parts: dict[str, list[Part]] = field(default_factory=dict)
    airways: dict[str, list[Tube]] = field(default_factory=dict)

    def generator(self, *purpose: int) -> np.random.Generator:
        """The patient's generator for one purpose: the same for every reconstruction."""
        return np.random.default_rng((self.anatomy.seed, *purpose))

    def organ(self, name: str, box: Box, weight: Array, hu: Array | float) -> None:
        """Paint a piece of an organ and remember it for the organ's mask."""
        self.canvas.paint(box, weight, hu)
        self.parts.setdefault(name, []).append((box, weight))

    def tube(self, name: str | None, tube: Tube, hu: float, *, grow: float = 0.0) -> None:
        """Paint a tube, `grow` wider than it is; with a name, remember it as an organ."""
        for first, last in pairwise(tube):
            part = self.canvas.rod(first[:3], last[:3], hu, first[3] + grow, last[3] + grow)
            if name:
                self.parts.setdefault(name, []).append(part)

    def displace_lung(self, box: Box, weight: Array) -> None:
        """Take from both lungs what something else fills."""
        for lung in self.lungs.values():
            lung[box] *= 1 - weight

    def depth_of_lung(self, side: str) -> Array:
        """Millimetres of lung behind each voxel: fluid and collapsed lung gather at the back of a lying patient."""
        spacing_mm = np.float32(self.canvas.step[1] * self.canvas.scale[1])
        # Lung in front of the heart has little lung behind it, but does not lie at the back.
        front = np.where(self.canvas.y > 15, np.float32(1e3), np.float32(0))[None, :, None]
        return np.cumsum(self.lungs[side], axis=1) * spacing_mm + front


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
