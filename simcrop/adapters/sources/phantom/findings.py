"""What can be found in a phantom: how often, where, how large. Draws specifications; paints nothing."""

from collections.abc import Callable

import numpy as np

from simcrop.adapters.sources.phantom import anatomy as shape
from simcrop.adapters.sources.phantom.anatomy import Anatomy
from simcrop.adapters.sources.phantom.sites import (
    CORONARIES,
    LOBE_NAMES,
    STATIONS,
    Lesion,
    draw_seed,
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
        size = draw_size(generator, 70, 0.3, 30, 110)
        return in_lobe("Atelectasis", "band", anatomy, generator, size, float(generator.uniform(-60, 40)),
                        lobes=("right_middle", "right_lower", "left_upper", "left_lower"), reach=0.2)  # fmt: skip
    side = pick(generator, ("right", "left", "both"), (0.3, 0.3, 0.4))
    place = "both lower lobes" if side == "both" else pick(generator, LOBE_NAMES[f"{side}_lower"])
    size = draw_size(generator, 34, 0.3, 16, 55)
    return Lesion(
        "Atelectasis",
        "dependent",
        side,
        "lower",
        place,
        size,
        (0, 0, 0),
        float(generator.uniform(-80, 30)),
        draw_seed(generator),
    )


def _fibrosis(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    lobes = ("right_upper", "left_upper", "right_upper", "left_upper", "right_middle", "right_lower", "left_lower")
    size = draw_size(generator, 90, 0.25, 50, 130)
    return in_lobe(
        "Pulmonary fibrotic sequela",
        "bands",
        anatomy,
        generator,
        size,
        float(generator.uniform(-60, 40)),
        lobes=lobes,
        reach=0.2,
    )


def _bronchiectasis(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    size = draw_size(generator, 18, 0.2, 12, 26)
    return in_lobe("Bronchiectasis", "tubes", anatomy, generator, size, -40.0, reach=1.5)


def _emphysema(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    site = pick(generator, ("upper", "lung"), (0.65, 0.35))
    words = "{side} upper {lobe}" if site == "upper" else "{side} {lung}"
    return sided("Emphysema", "centrilobular", generator, site, words, float(generator.uniform(180, 240)))


def _mosaic(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    site = pick(generator, ("lung", "lower"))
    words = "{side} lower {lobe}" if site == "lower" else "{side} {lung}"
    return sided("Mosaic attenuation pattern", "patches", generator, site, words, float(generator.uniform(300, 420)))


def _septal(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    site = pick(generator, ("upper", "lower"))
    words = "{side} upper {lobe}" if site == "upper" else "{side} lower {lobe}"
    return sided("Interlobular septal thickening", "lines", generator, site, words, float(generator.uniform(450, 650)))


def _peribronchial(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    site = pick(generator, ("lower", "lung"))
    words = "{side} lower {lobe}" if site == "lower" else "{side} {lung}"
    size = draw_size(generator, 10, 0.2, 6, 15)
    return sided("Peribronchial thickening", "walls", generator, site, words, float(generator.uniform(-20, 50)), size)


def _pleural(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    size = draw_size(generator, 42, 0.4, 12, 90)
    hu = float(generator.uniform(2, 24))
    return sided(
        "Pleural effusion", "layer", generator, "pleura", "{side} pleural {space}", hu, size, (0.36, 0.34, 0.3)
    )


def _cardiomegaly(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    return Lesion(
        "Cardiomegaly", "heart", "", "heart", "the heart", 0.0, anatomy.heart_center, 0.0, draw_seed(generator)
    )


def _pericardial(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    size = draw_size(generator, 20, 0.3, 10, 34)
    hu = float(generator.uniform(4, 22))
    return Lesion(
        "Pericardial effusion",
        "shell",
        "",
        "pericardium",
        "the pericardial space",
        size,
        anatomy.heart_center,
        hu,
        draw_seed(generator),
    )


def _artery(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    site = pick(generator, tuple(shape.AORTA_PARTS), (0.2, 0.45, 0.35))
    size = draw_size(generator, 14, 0.4, 6, 40)
    hu = float(generator.uniform(500, 1100))
    return Lesion(
        "Arterial wall calcification", "plaque", "", site, f"the {site}", size, (0, 0, 0), hu, draw_seed(generator)
    )


def _coronary(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    site = pick(generator, tuple(CORONARIES), (0.5, 0.2, 0.3))
    direction = np.asarray(CORONARIES[site])
    reach = 1 / np.linalg.norm(shape.HEART_AXES @ direction / np.asarray(anatomy.heart))
    x, y, z = (float(v) for v in np.asarray(anatomy.heart_center) + reach * direction)
    size = draw_size(generator, 12, 0.4, 5, 32)
    hu = float(generator.uniform(500, 1100))
    place = f"the {site} artery"
    return Lesion(
        "Coronary artery wall calcification", "plaque", "", site, place, size, (x, y, z), hu, draw_seed(generator)
    )


def _hernia(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    size = draw_size(generator, 88, 0.2, 55, 120)
    center = (-9 + float(generator.uniform(-5, 5)), -34.0, max(anatomy.domes) - 10 + float(generator.uniform(-8, 8)))
    return Lesion(
        "Hiatal hernia", "sliding", "", "hiatus", "the esophageal hiatus", size, center, 34.0, draw_seed(generator)
    )


def _node(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    site = pick(generator, tuple(STATIONS), (0.22, 0.16, 0.2, 0.14, 0.12, 0.08, 0.08))
    x, y, z = (v + float(generator.uniform(-3, 3)) for v in STATIONS[site])
    side = site.split(maxsplit=1)[0] if site.startswith(("right", "left")) else ""
    size = draw_size(generator, 30, 0.6, 10, 80)
    hu = float(generator.uniform(25, 60))
    return Lesion(
        "Lymphadenopathy", "node", side, site, f"the {site} station", size, (x, y, z), hu, draw_seed(generator)
    )


def _material(anatomy: Anatomy, generator: np.random.Generator) -> Lesion:
    kind = pick(generator, ("pacemaker", "port", "catheter", "sternotomy"), (0.3, 0.25, 0.25, 0.2))
    side = {"pacemaker": "left", "sternotomy": ""}.get(kind, "right")
    place = {"pacemaker": "the left chest wall", "port": "the right chest wall", "catheter": "the superior vena cava",
             "sternotomy": "the sternum"}[kind]  # fmt: skip
    return Lesion("Medical material", kind, side, kind, place, 0.0, (0, 0, 0), 2600.0, draw_seed(generator))


RULES: dict[str, tuple[float, Draw]] = {
    "Mosaic attenuation pattern": (0.22, _mosaic),
    "Emphysema": (0.28, _emphysema),
    "Interlobular septal thickening": (0.24, _septal),
    "Peribronchial thickening": (0.25, _peribronchial),
    "Bronchiectasis": (0.26, _bronchiectasis),
    "Lung opacity": (0.35, _opacity),
    "Consolidation": (0.30, _consolidation),
    "Pulmonary fibrotic sequela": (0.30, _fibrosis),
    "Atelectasis": (0.28, _atelectasis),
    "Lung nodule": (0.36, _nodule),
    "Pleural effusion": (0.30, _pleural),
    "Cardiomegaly": (0.28, _cardiomegaly),
    "Pericardial effusion": (0.24, _pericardial),
    "Lymphadenopathy": (0.30, _node),
    "Hiatal hernia": (0.26, _hernia),
    "Arterial wall calcification": (0.32, _artery),
    "Coronary artery wall calcification": (0.30, _coronary),
    "Medical material": (0.28, _material),
}
"""Probability and draw of each finding, in the order of painting: what lies in front comes later."""

_SEVERAL = {
    "Lung nodule": 0.5,
    "Lung opacity": 0.5,
    "Consolidation": 0.4,
    "Lymphadenopathy": 0.3,
    "Pulmonary fibrotic sequela": 0.4,
}


def sample_findings(anatomy: Anatomy, present: frozenset[str], generator: np.random.Generator) -> tuple[Lesion, ...]:
    """Place the given findings in a patient; some come twice, at different sites."""
    lesions: list[Lesion] = []
    for finding, (_, draw) in RULES.items():
        if finding not in present:
            continue
        first = draw(anatomy, generator)
        lesions.append(first)
        if generator.uniform() < _SEVERAL.get(finding, 0.0):
            second = draw(anatomy, generator)
            lesions += [second] if second.site != first.site else []
    return tuple(lesions)


def sample_present(generator: np.random.Generator) -> frozenset[str]:
    """Draw which findings a study has: independently, except that effusions come with collapsed lung more often."""
    draws = {finding: float(generator.uniform()) for finding in RULES}
    present = {finding for finding, (probability, _) in RULES.items() if draws[finding] < probability}
    if "Pleural effusion" in present and draws["Atelectasis"] < 1.8 * RULES["Atelectasis"][0]:
        present.add("Atelectasis")
    return frozenset(present)
