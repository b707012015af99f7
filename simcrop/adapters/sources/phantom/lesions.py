"""Which painter paints which finding."""

from collections.abc import Callable

from simcrop.adapters.sources.phantom import lung_lesions, other_lesions
from simcrop.adapters.sources.phantom.scene import Part, Scene
from simcrop.adapters.sources.phantom.sites import Lesion

Painter = Callable[[Scene, Lesion], list[Part]]


def paint_lesion(scene: Scene, lesion: Lesion) -> list[Part]:
    """Paint one lesion; returns its parts (never empty)."""
    return PAINTERS[lesion.finding](scene, lesion)


PAINTERS: dict[str, Painter] = {
    "Mosaic attenuation pattern": lung_lesions.mosaic,
    "Emphysema": lung_lesions.emphysema,
    "Interlobular septal thickening": lung_lesions.septal,
    "Peribronchial thickening": lung_lesions.peribronchial,
    "Bronchiectasis": lung_lesions.bronchiectasis,
    "Lung opacity": lung_lesions.opacity,
    "Consolidation": lung_lesions.consolidation,
    "Pulmonary fibrotic sequela": lung_lesions.fibrosis,
    "Atelectasis": lung_lesions.atelectasis,
    "Lung nodule": lung_lesions.nodule,
    "Pleural effusion": other_lesions.pleural,
    "Cardiomegaly": other_lesions.cardiomegaly,
    "Pericardial effusion": other_lesions.pericardial,
    "Lymphadenopathy": other_lesions.node,
    "Hiatal hernia": other_lesions.hernia,
    "Arterial wall calcification": other_lesions.artery,
    "Coronary artery wall calcification": other_lesions.coronary,
    "Medical material": other_lesions.material,
}
