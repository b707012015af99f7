"""One finding at one place: the value, the names of places, and draws of place and size."""

from dataclasses import dataclass

import numpy as np

from simcrop.adapters.sources.phantom import anatomy as shape
from simcrop.adapters.sources.phantom.anatomy import Anatomy

LOBE_NAMES = {
    "right_upper": ("the right upper lobe", "the upper lobe of the right lung"),
    "right_middle": ("the right middle lobe", "the middle lobe of the right lung"),
    "right_lower": ("the right lower lobe", "the lower lobe of the right lung"),
    "left_upper": ("the left upper lobe", "the upper lobe of the left lung"),
    "left_lower": ("the left lower lobe", "the lower lobe of the left lung"),
}
STATIONS = {
    "right lower paratracheal": (17, -8, 58),
    "prevascular": (-14, 40, 40),
    "subcarinal": (6, -18, 20),
    "right hilar": (44, -8, 2),
    "left hilar": (-48, -10, -4),
    "right axillary": (128, 8, 84),
    "left axillary": (-128, 8, 84),
}
REGION_NAMES = {
    "upper": "{side} upper {lobe}",
    "lower": "{side} lower {lobe}",
    "lung": "{side} {lung}",
    "pleura": "{side} pleural {space}",
}
CORONARIES = {
    "left anterior descending": (-0.30, 0.86, 0.42),
    "circumflex": (-0.82, -0.42, 0.40),
    "right coronary": (0.50, 0.84, 0.10),
}


@dataclass(frozen=True)
class Lesion:
    """One finding at one place.

    Attributes:
        finding: label of CT-RATE.
        kind: which of the finding's appearances.
        side: "right", "left", "both", or "" for the midline.
        site: key of the place: a lobe, a station, an artery.
        place: the same in words, with its article.
        size_mm: diameter, thickness or length, as the kind says; as the report states it.
        center: body-frame point; unused by diffuse findings.
        hu: attenuation or change of attenuation.
        seed: of the lesion's irregularities.
    """

    finding: str
    kind: str
    side: str
    site: str
    place: str
    size_mm: float = 0.0
    center: tuple[float, float, float] = (0, 0, 0)
    hu: float = 0.0
    seed: int = 0


def pick(generator: np.random.Generator, options: tuple[str, ...], weights: tuple[float, ...] | None = None) -> str:
    return options[int(generator.choice(len(options), p=weights))]


def draw_size(generator: np.random.Generator, median: float, spread: float, low: float, high: float) -> float:
    return round(float(np.clip(median * np.exp(spread * generator.standard_normal()), low, high)), 1)


def in_lobe(
    finding: str, kind: str, anatomy: Anatomy, generator: np.random.Generator, size_mm: float, hu: float,
    *, lobes: tuple[str, ...] = shape.LOBES, reach: float = 0.5,
) -> Lesion:  # fmt: skip
    """A lesion inside a random lobe, `reach` of its size away from the lobe's outer surface."""
    lobe = pick(generator, lobes)
    margin = float(np.clip(reach * size_mm, 3, 18))
    side = lobe.split("_")[0]
    center = shape.sample_lung_points(anatomy, side, generator, count=1, margin=margin, lobe=lobe)[0]
    x, y, z = (float(value) for value in center)
    place = pick(generator, LOBE_NAMES[lobe])
    return Lesion(finding, kind, side, lobe, place, size_mm, (x, y, z), hu)


def sided(
    finding: str, kind: str, generator: np.random.Generator, site: str, hu: float, size_mm: float = 0.0,
    *, weights: tuple[float, float, float] = (0.25, 0.25, 0.5),
) -> Lesion:  # fmt: skip
    """A finding of a region on one side or both."""
    side = pick(generator, ("right", "left", "both"), weights)
    lung, lobe, space = {"both": ("lungs", "lobes", "spaces")}.get(side, ("lung", "lobe", "space"))
    article = "both" if side == "both" else f"the {side}"
    place = REGION_NAMES[site].format(side=article, lung=lung, lobe=lobe, space=space)
    return Lesion(finding, kind, side, site, place, size_mm, hu=hu)
