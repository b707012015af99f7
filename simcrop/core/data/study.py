"""Values that a data set holds: volumes, reports, studies, and what is known of their sentences' places."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT volume in Hounsfield units.

    Attributes:
        voxels: [H, W, D] in RAS+ order: index 0 grows to the patient's right, 1 to the front, 2 to the head.
        affine: maps voxel indices (centres) to world coordinates in mm, RAS.
    """

    voxels: Int[Tensor, "H W D"] | Float[Tensor, "H W D"]
    affine: Float[Tensor, "4 4"]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along each array axis, mm."""
        x, y, z = self.affine[:3, :3].double().norm(dim=0).tolist()
        return x, y, z


@dataclass(frozen=True)
class Report:
    """A radiology report as written; an absent part is the empty string."""

    findings: str
    impression: str


@dataclass(frozen=True)
class Study:
    """One scan of one patient: its report and the reconstructions that share it.

    Attributes:
        study_id: unique in its source.
        patient_id: studies of one patient never lie on both sides of a split.
        reconstructions: names of the volumes, one or more; the source reads them by name.
        split: "train" or "validation" where the source says, else None.
        labels: finding name -> 0 or 1, empty where the source has none.
    """

    study_id: str
    patient_id: str
    report: Report
    reconstructions: tuple[str, ...]
    split: str | None = None
    labels: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class SentenceTruth:
    """Truth about the place that one sentence of a report speaks of.

    Attributes:
        text: the sentence as it stands in the report.
        finding: name of the finding it speaks of (a CT-RATE label), or None.
        present: True if the sentence asserts the finding, False if it denies it or describes a normal structure.
        mask: name of the mask file inside the study's ground-truth folder, or None where the sentence names no place.
    """

    text: str
    finding: str | None
    present: bool
    mask: str | None
