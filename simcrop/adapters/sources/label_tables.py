"""Names of labels: CT-RATE's eighteen, and which columns of RAD-ChestCT say the same."""

from collections.abc import Mapping

RADCHESTCT: Mapping[str, tuple[str, ...]] = {
    "Medical material": (
        "breast_implant", "catheter_or_port", "chest_tube", "clip", "gi_tube", "hardware", "heart_valve_replacement",
        "pacemaker_or_defib", "staple", "stent", "suture", "tracheal_tube",
    ),
    "Calcification": ("calcification",),
    "Cardiomegaly": ("cardiomegaly",),
    "Pericardial effusion": ("pericardial_effusion",),
    "Hiatal hernia": ("hernia",),
    "Lymphadenopathy": ("lymphadenopathy",),
    "Emphysema": ("emphysema",),
    "Atelectasis": ("atelectasis",),
    "Lung nodule": ("nodule",),
    "Lung opacity": ("opacity",),
    "Pulmonary fibrotic sequela": ("fibrosis",),
    "Pleural effusion": ("pleural_effusion",),
    "Peribronchial thickening": ("bronchial_wall_thickening",),
    "Consolidation": ("consolidation",),
    "Bronchiectasis": ("bronchiectasis",),
    "Interlobular septal thickening": ("septal_thickening",),
}  # fmt: skip
"""CT-RATE's name -> abnormalities of RAD-ChestCT, any of which counts. Which 16 the authors took is in docs/method.md,
section 9; which columns lie behind each is our reading of the names."""

LABELS = (
    "Medical material", "Arterial wall calcification", "Cardiomegaly", "Pericardial effusion",
    "Coronary artery wall calcification", "Hiatal hernia", "Lymphadenopathy", "Emphysema", "Atelectasis",
    "Lung nodule", "Lung opacity", "Pulmonary fibrotic sequela", "Pleural effusion", "Mosaic attenuation pattern",
    "Peribronchial thickening", "Consolidation", "Bronchiectasis", "Interlobular septal thickening",
)  # fmt: skip
CT_RATE: Mapping[str, tuple[str, ...]] = {name: (name,) for name in LABELS}
