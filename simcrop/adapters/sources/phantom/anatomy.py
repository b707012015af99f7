"""The shape of one patient's chest: parameters, and where a point lies (lung, lobe, heart, diaphragm).

Coordinates are the *body frame*: RAS directions (x grows to the patient's right, y to the front, z to the head), the
origin in the middle of the chest, in units that become millimetres when multiplied by `Anatomy.scale`. Every function
broadcasts, so that the same formula places a lesion (points) and paints an organ (grids).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

LOBES = ("right_upper", "right_middle", "right_lower", "left_upper", "left_lower")
SIDES = ("right", "left")
# Middle lines of tubes: points with the radius there.
Tube = tuple[tuple[float, float, float, float], ...]
AORTA: Tube = (
    (4, 14, -18, 14), (14, 20, 18, 15), (10, 20, 44, 15), (0, 6, 60, 14), (-14, -18, 64, 13),
    (-25, -42, 54, 12.5), (-25, -50, 20, 12), (-22, -50, -60, 11), (-14, -50, -165, 10),
)  # fmt: skip
AORTA_PARTS = {"ascending aorta": (0, 2), "aortic arch": (2, 5), "descending aorta": (5, 7)}
PULMONARY: tuple[Tube, ...] = (
    ((-18, 34, -12, 13), (-20, 18, 18, 14), (-14, 4, 24, 12)),
    ((-14, 4, 24, 11), (12, -2, 16, 10), (38, -6, 10, 8)),
    ((-20, 4, 24, 11), (-44, -12, 16, 8)),
)
CAVA: Tube = ((24, 14, 100, 8), (27, 12, 20, 9), (26, 6, -20, 10))
LOWER_CAVA: Tube = ((22, 0, -60, 11), (22, -14, -165, 12))
ESOPHAGUS: Tube = ((-3, -28, 160, 7), (-3, -34, 40, 7), (-4, -36, -30, 7), (-12, -26, -105, 8))
TRACHEA: Tube = ((0, 8, 168, 8.5), (1, -4, 100, 8.5), (3, -14, 42, 8.5))
MAIN_BRONCHI: dict[str, Tube] = {
    "right": ((3, -14, 42, 7.5), (20, -14, 24, 6.8), (36, -12, 12, 6)),
    "left": ((3, -14, 42, 7), (-22, -16, 22, 6.3), (-42, -18, 8, 5.5)),
}
HILUM = {"right": (36.0, -6.0, 8.0), "left": (-40.0, -10.0, 4.0)}

# Rows: the heart's long axis (base to apex, pointing left, forward and down) and two axes across it.
_LONG = np.array([-0.66, 0.55, -0.51])
_ACROSS = np.array([0.55, 0.82, 0.17]) - np.array([0.55, 0.82, 0.17]) @ _LONG / (_LONG @ _LONG) * _LONG
HEART_AXES = np.stack(
    [
        _LONG / np.linalg.norm(_LONG),
        _ACROSS / np.linalg.norm(_ACROSS),
        np.cross(_LONG, _ACROSS) / np.linalg.norm(np.cross(_LONG, _ACROSS)),
    ]
).astype(np.float32)


@dataclass(frozen=True)
class Anatomy:
    """One patient. Lengths in body-frame units (about 1 mm).

    Attributes:
        scale: mm of the body-frame unit along x, y, z.
        lung_width, lung_depth: half-axes of the chest cavity.
        apex: height of the lungs' tops.
        domes: heights of the right and left diaphragm.
        mediastinum: half-width of the mediastinum in front of the spine.
        heart: half-axes of the heart; `heart_center` its centre.
        fissures: offsets of the right and left oblique fissure and of the horizontal one.
        fat: thickness of subcutaneous fat.
        breasts: 0 for none, else the size of the breast tissue.
        kyphosis: how much the spine bends.
        lung_hu, blood_hu, bone_hu: mean attenuation of lung, blood and spongy bone.
        seed: of the vessels and of everything else that belongs to the patient.
    """

    scale: tuple[float, float, float]
    lung_width: float
    lung_depth: float
    apex: float
    domes: tuple[float, float]
    mediastinum: float
    heart: tuple[float, float, float]
    heart_center: tuple[float, float, float]
    fissures: tuple[float, float, float]
    fat: float
    breasts: float
    kyphosis: float
    lung_hu: float
    blood_hu: float
    bone_hu: float
    seed: int


def as_array(values: Sequence[float]) -> Array:
    """Coordinates as a float32 array."""
    return np.asarray(values, dtype=np.float32)


def sample_anatomy(generator: np.random.Generator, seed: int) -> Anatomy:
    """Draw a patient without findings."""
    uniform = generator.uniform
    size = uniform(0.93, 1.05)
    heart = float(uniform(0.92, 1.06))
    return Anatomy(
        scale=(size * uniform(0.97, 1.03), size * uniform(0.95, 1.05), size * uniform(0.96, 1.04)),
        lung_width=uniform(122, 132),
        lung_depth=uniform(80, 94),
        apex=uniform(116, 128),
        domes=(uniform(-82, -62), uniform(-92, -70)),
        mediastinum=uniform(11, 17),
        heart=(58 * heart, 42 * heart * uniform(0.96, 1.04), 44 * heart),
        heart_center=(uniform(-26, -18), uniform(14, 22), uniform(-52, -42)),
        fissures=(uniform(-14, 4), uniform(-12, 8), uniform(4, 20)),
        fat=float(np.clip(generator.gamma(4.0, 4.0), 6, 34)),
        breasts=float(uniform(28, 48)) if uniform() < 0.45 else 0.0,
        kyphosis=uniform(0.2, 1.4),
        lung_hu=uniform(-855, -825),
        blood_hu=float(uniform(120, 190) if uniform() < 0.3 else uniform(36, 50)),
        bone_hu=uniform(140, 280),
        seed=seed,
    )


def cavity_distance(anatomy: Anatomy, x: Array, y: Array, z: Array) -> Array:
    """Distance to the wall of the chest cavity (diaphragm and mediastinum ignored), negative inside."""
    rise = np.clip((z + 60) / (anatomy.apex + 60), 0, 1)
    half_x = anatomy.lung_width * np.sqrt(np.maximum(1 - rise**2.4, 1e-3))
    half_y = anatomy.lung_depth * np.sqrt(np.maximum(1 - rise**3.2, 1e-3))
    across, deep = (x / half_x) ** 2, ((y + 4 + 10 * rise) / half_y) ** 2
    radius = np.sqrt(np.maximum(across + deep - 0.35 * np.minimum(across, 2) * np.minimum(deep, 2), 0))
    return ((radius - 1) * np.minimum(half_x, half_y)).astype(np.float32)


def dome_height(anatomy: Anatomy, x: Array, y: Array) -> Array:
    """Height of the diaphragm above each (x, y)."""
    right = anatomy.domes[0] - 48 * (((x - 56) / 74) ** 2 + ((y - 22) / 92) ** 2)
    left = anatomy.domes[1] - 48 * (((x + 56) / 74) ** 2 + ((y - 22) / 92) ** 2)
    blend = 1 / (1 + np.exp(-np.clip(x / 6, -30, 30)))
    return (right * blend + left * (1 - blend)).astype(np.float32)


def heart_distance(anatomy: Anatomy, x: Array, y: Array, z: Array) -> Array:
    """Distance to the surface of the heart (ventricles and the right atrium), negative inside."""
    cx, cy, cz = anatomy.heart_center
    square = np.float32(0)
    for axis, half in zip(HEART_AXES, anatomy.heart, strict=True):
        square = square + ((axis[0] * (x - cx) + axis[1] * (y - cy) + axis[2] * (z - cz)) / half) ** 2
    ventricles = (np.sqrt(square) - 1) * anatomy.heart[1]
    atrium = 0.72 * anatomy.heart[1]
    bulge = np.sqrt((x - cx - 34) ** 2 + (y - cy + 2) ** 2 + ((z - cz - 8) / 1.2) ** 2) - atrium
    return np.minimum(ventricles, bulge).astype(np.float32)


def lung_distance(anatomy: Anatomy, side: str, x: Array, y: Array, z: Array) -> Array:
    """Distance to the surface of one lung, negative inside; the heart is not yet taken away."""
    sign = 1.0 if side == "right" else -1.0
    middle = anatomy.mediastinum + 16 * np.exp(-(((y + 8) / 34) ** 2)) + 8 * np.exp(-(((y + 72) / 22) ** 2))
    inner = middle - sign * x
    below = 0.8 * (dome_height(anatomy, x, y) - z)
    return np.maximum(np.maximum(cavity_distance(anatomy, x, y, z), inner), below).astype(np.float32)


def fissure_heights(anatomy: Anatomy, side: str, y: Array) -> tuple[Array, float]:
    """Height of the oblique fissure at y, and of the horizontal one (far below the chest where there is none)."""
    oblique = (anatomy.fissures[0 if side == "right" else 1] - 0.95 * y).astype(np.float32)
    return oblique, anatomy.fissures[2] if side == "right" else -1e4


def in_lobe(anatomy: Anatomy, lobe: str, y: Array, z: Array) -> NDArray[np.bool_]:
    """True where a point of the lobe's lung belongs to the lobe."""
    side, part = lobe.split("_")
    oblique, horizontal = fissure_heights(anatomy, side, y)
    if part == "lower":
        return z < oblique
    if part == "middle":
        return (z >= oblique) & (z < horizontal)
    return (z >= oblique) & (z >= horizontal)


def sample_lung_points(
    anatomy: Anatomy, side: str, generator: np.random.Generator, *, count: int, margin: float, lobe: str | None = None
) -> Array:
    """Points [count, 3] of one lung (or lobe), `margin` away from its surface and clear of the heart and hilum.

    The margin is given up in steps where the lobe is too thin for it.
    """
    sign = 1.0 if side == "right" else -1.0
    low, high = np.array([8, -95, -150]), np.array([135, 95, 125])
    points = generator.uniform(low, high, size=(max(40 * count, 1500), 3)).astype(np.float32)
    points[:, 0] *= sign
    x, y, z = points.T
    inside = lung_distance(anatomy, side, x, y, z)
    clear = np.minimum(heart_distance(anatomy, x, y, z), np.linalg.norm(points - as_array(HILUM[side]), axis=1) - 20)
    member = in_lobe(anatomy, lobe, y, z) if lobe else np.ones(len(points), dtype=bool)
    for slack in (margin, margin / 2, 3.0, 1.0):
        found = points[(inside < -slack) & (clear > slack) & member]
        if len(found) >= count:
            return found[:count]
    raise ValueError(f"no room for {count} points in {lobe or side}: {anatomy}")
