"""Batches: as they are loaded, and as the model sees them.

B studies, T and R tokens, S sentences, L visible and M masked patches; masks are False at padding.
"""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int, Int16, Int64
from torch import Tensor

from simcrop.core.data.augment import Augmentation, apply_augmentations
from simcrop.core.data.tensors import TensorGroup
from simcrop.core.reports.tokens import Tokens


@dataclass(frozen=True, eq=False)
class MaskedReport(TensorGroup):
    """Findings and impression of one study, or of B, as report reconstruction reads them.

    Attributes:
        ids: tokens before masking: the targets.
        input_ids: the same with [MASK] at the drawn positions.
        mask: True at real tokens.
        masked: True at positions that were replaced by [MASK].
    """

    ids: Int64[Tensor, "*B R"]
    input_ids: Int64[Tensor, "*B R"]
    mask: Bool[Tensor, "*B R"]
    masked: Bool[Tensor, "*B R"]


@dataclass(frozen=True, eq=False)
class Inputs(TensorGroup):
    """What a micro-batch holds beside its volumes.

    Attributes:
        ids_keep, ids_masked: visible and masked patches, sorted ascending, together every patch once.
        findings: unmasked, for alignment.
        sentence_mask: True where a sentence of the findings exists and has at least one token.
        sentence_keys: stable hash of each sentence's normalised text; 0 at padding.
        report: for its reconstruction.
        study_keys: equal for reconstructions of one study.
        study_ids: for messages.
        num_cut: findings in this batch that were longer than the token limit.
        findings_features: what a frozen text encoder makes of `findings`, where that is known already; any number at
            padding.
    """

    ids_keep: Int64[Tensor, "B L"]
    ids_masked: Int64[Tensor, "B M"]
    findings: Tokens
    sentence_mask: Bool[Tensor, "B S"]
    sentence_keys: Int64[Tensor, "B S"]
    report: MaskedReport
    study_keys: Int64[Tensor, "B"]
    study_ids: tuple[str, ...]
    num_cut: int = 0
    findings_features: Float[Tensor, "B T hidden"] | None = None


@dataclass(frozen=True, eq=False)
class Batch(TensorGroup):
    """A micro-batch as the model sees it.

    Attributes:
        volume: HU; the model's window is applied where it is read.
        inputs: all else.
    """

    volume: Int[Tensor, "B C H W D"] | Float[Tensor, "B C H W D"]
    inputs: Inputs

    def __len__(self) -> int:
        return len(self.volume)


@dataclass(frozen=True, eq=False)
class PreparedBatch(TensorGroup):
    """A micro-batch as it is loaded.

    Attributes:
        volume: whole prepared volumes, HU.
        augmentations: what each volume has to undergo before the model sees it.
        inputs: all else.
    """

    volume: Int16[Tensor, "B 1 H W D"]
    augmentations: tuple[Augmentation, ...]
    inputs: Inputs

    def __len__(self) -> int:
        return len(self.volume)

    @property
    def study_ids(self) -> tuple[str, ...]:
        """For messages."""
        return self.inputs.study_ids

    def augmented(self) -> Batch:
        """The batch as the model sees it, made on the device where the volumes are."""
        return Batch(apply_augmentations(self.volume[:, 0], self.augmentations), self.inputs)
