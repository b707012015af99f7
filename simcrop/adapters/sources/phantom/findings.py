"""Table of the findings of a phantom: how often, where and how large they are, and who paints them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from simcrop.adapters.sources.phantom import anatomy as shape
from simcrop.adapters.sources.phantom import lung_lesions, other_lesions
from simcrop.adapters.sources.phantom.anatomy import Anatomy
from simcrop.adapters.sources.phantom.scene import Part, Scene
from simcrop.adapters.sources.phantom.sites import (
    CORONARIES,
    LOBE_NAMES,
    STATIONS,
    Lesion,
    draw_size,
    in_lobe,
    pick,
    sided,
)

FOCAL = frozenset(
    ("Arterial wall calcification", "Coronary artery wall calcification", "Lymphadenopathy", "Lung nodule",
     "Lung opacity", "Consolidation")
)  # fmt: skip
"""Findings whose size is the diameter of a lesion."""

Draw = Callable[[Anatomy, np.random.Generator], Lesion]
"""Places a finding; its seed comes later."""


@dataclass(frozen=True)
class Rule:
    """How a finding comes up.

    Attributes:
        chance: of it in a study.
        draw: places it.
        paint: paints it into a chest; gives its parts, never none.
        order: where in a report it stands, on the scale of `Normal.order`.
        twice: chance of another one at another site.
    """

    chance: float
    draw: Draw
    paint: Callable[[Scene, Lesion], list[Part]]
    order: float
    twice: float = 0.0


def _nodule(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    kind = pick(generator, ("solid", "calcified", "subsolid"), (0.7, 0.14, 0.16))
    hu = {"solid": generator.uniform(0, 70), "calcified": generator.uniform(220, 500)}.get(kind, -350.0)
    return in_lobe("Lung nodule", kind, anatomy, generator, draw_size(generator, 11, 0.5, 5, 40), float(hu))


def _opacity(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    kind = pick(generator, ("patch", "round"), (0.75, 0.25))
    size = draw_size(generator, 120, 0.25, 60, 170) if kind == "patch" else draw_size(generator, 15, 0.3, 8, 30)
    return in_lobe("Lung opacity", kind, anatomy, generator, size, float(generator.uniform(420, 600)), reach=0.15)


def _consolidation(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    size = draw_size(generator, 95, 0.4, 12, 150)
    kind = "bronchogram" if size > 30 and generator.uniform() < 0.7 else "patch"
    return in_lobe("Consolidation", kind, anatomy, generator, size, float(generator.uniform(5, 55)), reach=0.2)


def _atelectasis(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    if generator.uniform() < 0.35:
        lobes = ("right_middle", "right_lower", "left_upper", "left_lower")
        size, hu = draw_size(generator, 70, 0.3, 30, 110), float(generator.uniform(-60, 40))
        return in_lobe("Atelectasis", "band", anatomy, generator, size, hu, lobes=lobes, reach=0.2)
    side = pick(generator, ("right", "left", "both"), (0.3, 0.3, 0.4))
    place = "both lower lobes" if side == "both" else pick(generator, LOBE_NAMES[f"{side}_lower"])
    size, hu = draw_size(generator, 34, 0.3, 16, 55), float(generator.uniform(-80, 30))
    return Lesion("Atelectasis", "dependent", side, "lower", place, size, hu=hu)


def _fibrosis(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    lobes = ("right_upper", "left_upper", "right_upper", "left_upper", "right_middle", "right_lower", "left_lower")
    size, hu = draw_size(generator, 90, 0.25, 50, 130), float(generator.uniform(-60, 40))
    return in_lobe("Pulmonary fibrotic sequela", "bands", anatomy, generator, size, hu, lobes=lobes, reach=0.2)


def _bronchiectasis(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    size = draw_size(generator, 18, 0.2, 12, 26)
    return in_lobe("Bronchiectasis", "tubes", anatomy, generator, size, -40.0, reach=1.5)


def _emphysema(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    site = pick(generator, ("upper", "lung"), (0.65, 0.35))
    return sided("Emphysema", "centrilobular", generator, site, float(generator.uniform(180, 240)))


def _mosaic(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    site = pick(generator, ("lung", "lower"))
    return sided("Mosaic attenuation pattern", "patches", generator, site, float(generator.uniform(300, 420)))


def _septal(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    site = pick(generator, ("upper", "lower"))
    return sided("Interlobular septal thickening", "lines", generator, site, float(generator.uniform(450, 650)))


def _peribronchial(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    site = pick(generator, ("lower", "lung"))
    size, hu = draw_size(generator, 10, 0.2, 6, 15), float(generator.uniform(-20, 50))
    return sided("Peribronchial thickening", "walls", generator, site, hu, size)


def _pleural(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    size, hu = draw_size(generator, 42, 0.4, 12, 90), float(generator.uniform(2, 24))
    return sided("Pleural effusion", "layer", generator, "pleura", hu, size, weights=(0.36, 0.34, 0.3))


def _cardiomegaly(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    return Lesion("Cardiomegaly", "heart", "", "heart", "the heart", center=anatomy.heart_center)


def _pericardial(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    size, hu = draw_size(generator, 20, 0.3, 10, 34), float(generator.uniform(4, 22))
    place = "the pericardial space"
    return Lesion("Pericardial effusion", "shell", "", "pericardium", place, size, anatomy.heart_center, hu)


def _artery(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    site = pick(generator, tuple(shape.AORTA_PARTS), (0.2, 0.45, 0.35))
    size, hu = draw_size(generator, 14, 0.4, 6, 40), float(generator.uniform(500, 1100))
    return Lesion("Arterial wall calcification", "plaque", "", site, f"the {site}", size, hu=hu)


def _coronary(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    site = pick(generator, tuple(CORONARIES), (0.5, 0.2, 0.3))
    direction = np.asarray(CORONARIES[site])
    reach = 1 / np.linalg.norm(shape.HEART_AXES @ direction / np.asarray(anatomy.heart))
    x, y, z = (float(v) for v in np.asarray(anatomy.heart_center) + reach * direction)
    size, hu = draw_size(generator, 12, 0.4, 5, 32), float(generator.uniform(500, 1100))
    place = f"the {site} artery"
    return Lesion("Coronary artery wall calcification", "plaque", "", site, place, size, (x, y, z), hu)


def _hernia(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    size = draw_size(generator, 88, 0.2, 55, 120)
    center = (-9 + float(generator.uniform(-5, 5)), -34.0, max(anatomy.domes) - 10 + float(generator.uniform(-8, 8)))
    return Lesion("Hiatal hernia", "sliding", "", "hiatus", "the esophageal hiatus", size, center, 34.0)


def _node(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    site = pick(generator, tuple(STATIONS), (0.22, 0.16, 0.2, 0.14, 0.12, 0.08, 0.08))
    x, y, z = (v + float(generator.uniform(-3, 3)) for v in STATIONS[site])
    side = site.split(maxsplit=1)[0] if site.startswith(("right", "left")) else ""
    size, hu = draw_size(generator, 30, 0.6, 10, 80), float(generator.uniform(25, 60))
    return Lesion("Lymphadenopathy", "node", side, site, f"the {site} station", size, (x, y, z), hu)


def _material(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    kind = pick(generator, ("pacemaker", "port", "catheter", "sternotomy"), (0.3, 0.25, 0.25, 0.2))
    side = {"pacemaker": "left", "sternotomy": ""}.get(kind, "right")
    place = {"pacemaker": "the left chest wall", "port": "the right chest wall", "catheter": "the superior vena cava",
             "sternotomy": "the sternum"}[kind]  # fmt: skip
    return Lesion("Medical material", kind, side, kind, place, hu=2600.0)


RULES: dict[str, Rule] = {
    "Mosaic attenuation pattern": Rule(0.22, _mosaic, lung_lesions.mosaic, 18.3),
    "Emphysema": Rule(0.28, _emphysema, lung_lesions.emphysema, 15),
    "Interlobular septal thickening": Rule(0.24, _septal, lung_lesions.septal, 18.6),
    "Peribronchial thickening": Rule(0.25, _peribronchial, lung_lesions.peribronchial, 10),
    "Bronchiectasis": Rule(0.26, _bronchiectasis, lung_lesions.bronchiectasis, 16),
    "Lung opacity": Rule(0.35, _opacity, lung_lesions.opacity, 14, twice=0.5),
    "Consolidation": Rule(0.30, _consolidation, lung_lesions.consolidation, 13, twice=0.4),
    "Pulmonary fibrotic sequela": Rule(0.30, _fibrosis, lung_lesions.fibrosis, 17, twice=0.4),
    "Atelectasis": Rule(0.28, _atelectasis, lung_lesions.atelectasis, 18),
    "Lung nodule": Rule(0.36, _nodule, lung_lesions.nodule, 12, twice=0.5),
    "Pleural effusion": Rule(0.30, _pleural, other_lesions.pleural, 20),
    "Cardiomegaly": Rule(0.28, _cardiomegaly, other_lesions.cardiomegaly, 4),
    "Pericardial effusion": Rule(0.24, _pericardial, other_lesions.pericardial, 6),
    "Lymphadenopathy": Rule(0.30, _node, other_lesions.node, 9, twice=0.3),
    "Hiatal hernia": Rule(0.26, _hernia, other_lesions.hernia, 8),
    "Arterial wall calcification": Rule(0.32, _artery, other_lesions.artery, 3),
    "Coronary artery wall calcification": Rule(0.30, _coronary, other_lesions.coronary, 5),
    "Medical material": Rule(0.28, _material, other_lesions.material, 1.5),
}
"""In the order of painting: what lies in front comes later."""


def sample_findings(anatomy: Anatomy, present: frozenset[str], generator: np.random.Generator) -> tuple[Lesion, ...]:
    """Place the given findings in a patient; some come twice, at different sites."""

    def place(rule: Rule) -> Lesion:
        return replace(rule.draw(anatomy, generator), seed=int(generator.integers(2**31)))

    lesions: list[Lesion] = []
    for rule in (rule for finding, rule in RULES.items() if finding in present):
        first = place(rule)
        lesions.append(first)
        if generator.uniform() < rule.twice:
            second = place(rule)
            lesions += [second] if second.site != first.site else []
    return tuple(lesions)


def sample_present(generator: np.random.Generator) -> frozenset[str]:
    """Draw which findings a study has: independently, except that effusions come with collapsed lung more often."""
    draws = {finding: float(generator.uniform()) for finding in RULES}
    present = {finding for finding, rule in RULES.items() if draws[finding] < rule.chance}
    if "Pleural effusion" in present and draws["Atelectasis"] < 1.8 * RULES["Atelectasis"].chance:
        present.add("Atelectasis")
    return frozenset(present)
