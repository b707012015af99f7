"""Normal statements of phantom reports: what each denies or describes, and which organ's mask it points at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Normal:
    """Statement that a structure is normal or a finding absent.

    Attributes:
        finding: label that the statement denies, or None.
        place: organ or region whose mask goes with it, or None.
        forms: its wordings.
        order: where in a report it stands.
        unless: further findings with which it would be untrue.
    """

    finding: str | None
    place: str | None
    forms: tuple[str, ...]
    order: int
    unless: frozenset[str] = frozenset()


_AERATION = frozenset(
    ("Emphysema", "Consolidation", "Lung opacity", "Mosaic attenuation pattern", "Atelectasis",
     "Pulmonary fibrotic sequela", "Interlobular septal thickening", "Lung nodule")
)  # fmt: skip

NORMALS = (
    Normal(None, "trachea", (
        "Trachea and main bronchi are open.",
        "The trachea and both main bronchi are patent.",
        "No obstructive pathology is observed in the trachea and main bronchi.",
    ), 0),
    Normal("Peribronchial thickening", "airways", (
        "No bronchial wall thickening is detected.",
        "Bronchial wall thickness is within normal limits.",
    ), 1),
    Normal(None, "aorta", (
        "The calibre of the thoracic aorta is natural.",
        "Thoracic aorta diameter is normal.",
        "There is no aneurysmal dilatation of the aorta.",
    ), 2),
    Normal("Arterial wall calcification", "aorta", (
        "No calcified plaque is seen in the wall of the aorta.",
        "The aortic wall is free of calcification.",
    ), 3),
    Normal("Cardiomegaly", "heart", (
        "The heart size is normal.",
        "Heart contour and size are natural.",
        "No enlargement of the heart is seen.",
    ), 4),
    Normal("Coronary artery wall calcification", "heart", (
        "No coronary calcification is observed.",
        "The coronary arteries are free of calcified plaques.",
    ), 5),
    Normal("Pericardial effusion", "pericardium", (
        "Pericardial effusion was not observed.",
        "No fluid is seen in the pericardium.",
        "Pericardial thickness is normal.",
    ), 6),
    Normal(None, "esophagus", (
        "Thoracic esophagus calibration is normal.",
        "No pathological wall thickening is observed in the esophagus.",
    ), 7),
    Normal("Hiatal hernia", "hiatus", (
        "No hiatal hernia is detected.",
        "The esophageal hiatus is of normal width.",
    ), 8),
    Normal("Lymphadenopathy", "mediastinum", (
        "No lymph node in pathological size is observed in the mediastinum.",
        "There are no enlarged mediastinal or hilar lymph nodes.",
        "Mediastinal lymphadenopathy was not detected.",
    ), 9),
    Normal(None, "lungs", (
        "Aeration of both lung parenchyma is normal.",
        "No mass or infiltrative lesion is detected in both lungs.",
        "Both lungs are clear.",
    ), 11, _AERATION),
    Normal("Lung nodule", "lungs", (
        "No pulmonary nodule is seen.",
        "There is no nodule in either lung.",
    ), 12),
    Normal("Consolidation", "lungs", (
        "No area of consolidation is observed.",
        "Consolidation was not detected in the lung parenchyma.",
    ), 13),
    Normal("Lung opacity", "lungs", (
        "No ground glass opacity is detected.",
        "Ground glass density was not observed in both lungs.",
    ), 14),
    Normal("Emphysema", "upper_lobes", (
        "There is no emphysema.",
        "No emphysematous area is seen in the upper lobes.",
    ), 15),
    Normal("Bronchiectasis", "airways", (
        "Bronchiectasis is not observed.",
        "Bronchial calibres are natural.",
    ), 16),
    Normal("Pleural effusion", "pleural_space", (
        "No pleural effusion.",
        "Pleural effusion was not detected.",
        "There is no fluid in the pleural spaces.",
    ), 20),
    Normal(None, None, (
        "No pneumothorax is seen.",
        "Pneumothorax was not observed.",
    ), 21),
    Normal(None, "liver", (
        "The liver parenchyma entering the section is homogeneous.",
        "No space-occupying lesion is seen in the liver within the section.",
    ), 22),
    Normal(None, "spleen", (
        "Spleen size is natural.",
        "The spleen within the section is unremarkable.",
    ), 23),
    Normal(None, "bones", (
        "Bone structures in the study area are natural.",
        "No lytic or destructive lesion is detected in the bones.",
    ), 24),
    Normal(None, "spine", (
        "Vertebral corpus heights are preserved.",
        "No fracture is seen in the vertebrae.",
    ), 25),
)  # fmt: skip
