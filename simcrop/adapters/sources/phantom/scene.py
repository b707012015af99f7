"""A chest while it is painted, and what is known of it: shares of lung, pieces of organs, bronchi."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

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
            box, distance = self.canvas.capsule(first[:3], last[:3], first[3] + grow, last[3] + grow)
            weight = self.canvas.soft(distance)
            if name:
                self.organ(name, box, weight, hu)
            else:
                self.canvas.paint(box, weight, hu)

    def depth_of_lung(self, side: str) -> Array:
        """Millimetres of lung behind each voxel: fluid and collapsed lung gather at the back of a lying patient."""
        spacing_mm = np.float32(self.canvas.step[1] * self.canvas.scale[1])
        # Lung in front of the heart has little lung behind it, but does not lie at the back.
        front = np.where(self.canvas.y > 15, np.float32(1e3), np.float32(0))[None, :, None]
        return np.cumsum(self.lungs[side], axis=1) * spacing_mm + front
