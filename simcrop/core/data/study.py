"""The values that travel from disk to loss: Volume, Report, Study, and the Batch that a training step reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from simcrop.core.data.augment import Augmentation, apply_augmentation


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
    """What is known of where one sentence of a report points.

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


@dataclass(frozen=True, eq=False)
class Batch:
    """What one micro-batch needs, on one device. B studies, T tokens, S sentences; padding is False in the masks.

    Attributes:
        volume: HU; the model's window is applied where it is read. Prepared volumes where `augmentations` is given.
        ids_keep, ids_masked: visible and masked patches, sorted ascending, together every patch once.
        findings_ids: tokens of the unmasked findings, for alignment.
        findings_mask: True at real tokens (class and separator tokens included).
        sentence_of_token: index of the sentence that a findings token belongs to, -1 for special tokens and padding.
        sentence_mask: True where a sentence exists and has at least one token.
        sentence_keys: stable hash of each sentence's normalised text; 0 at padding.
        report_ids: tokens of findings + impression before masking: the targets of report reconstruction.
        report_input_ids: the same with [MASK] at the drawn positions.
        report_mask: True at real tokens.
        report_masked: True at positions that were replaced by [MASK].
        study_keys: equal for reconstructions of one study.
        study_ids: for messages.
        num_cut: findings in this batch that were longer than the token limit.
        augmentations: what each volume has still to undergo (`augmented`); None where they are as the model sees them.
        findings_features: what a frozen text encoder makes of `findings_ids`, where that is known already; any number
            at padding.
    """

    volume: Int[Tensor, "B C H W D"] | Float[Tensor, "B C H W D"]
    ids_keep: Int64[Tensor, "B L"]
    ids_masked: Int64[Tensor, "B M"]
    findings_ids: Int64[Tensor, "B T"]
    findings_mask: Bool[Tensor, "B T"]
    sentence_of_token: Int64[Tensor, "B T"]
    sentence_mask: Bool[Tensor, "B S"]
    sentence_keys: Int64[Tensor, "B S"]
    report_ids: Int64[Tensor, "B R"]
    report_input_ids: Int64[Tensor, "B R"]
    report_mask: Bool[Tensor, "B R"]
    report_masked: Bool[Tensor, "B R"]
    study_keys: Int64[Tensor, "B"]
    study_ids: tuple[str, ...]
    num_cut: int = 0
    augmentations: tuple[Augmentation, ...] | None = None
    findings_features: Float[Tensor, "B T hidden"] | None = None

    def __len__(self) -> int:
        return self.volume.shape[0]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """The same batch with every tensor on `device`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory (called by torch's DataLoader)."""
        return self._map(lambda tensor: tensor.pin_memory())

    def augmented(self) -> "Batch":
        """The same batch with its volumes as the model sees them, made on the device where they are."""
        if self.augmentations is None:
            return self
        pairs = zip(self.volume, self.augmentations, strict=True)
        boxes = [torch.stack([apply_augmentation(channel, each) for channel in volume]) for volume, each in pairs]
        return replace(self, volume=torch.stack(boxes), augmentations=None)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), Tensor)}
        return replace(self, **{name: function(tensor) for name, tensor in tensors.items()})
