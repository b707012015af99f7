"""The contracts of the accelerated operations, and the bundle that models and losses are given.

`simcrop.core.reference` is the definition of each in plain torch; `simcrop.kernels` has the Triton implementations.
Both keep to these signatures, so a model never knows which one it runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

Window = tuple[float, float]
"""(low, high) in HU: v becomes clip((v - low) / (high - low) * 2 - 1, -1, 1)."""

Windows = Window | Sequence[Window]
"""One window, or several; a voxel under each of W windows is W values, and channels count windows first: w * C + c."""

PatchSize = tuple[int, int, int]
"""Voxels along the three array axes."""


def as_windows(window: Windows | None) -> tuple[Window, ...]:
    """One window, several or none as a tuple of windows."""
    given = () if window is None else tuple(window)
    is_one = bool(given) and not isinstance(given[0], Sequence)
    return cast("tuple[Window, ...]", (given,) if is_one else given)


class TopK(NamedTuple):
    """Result of `sentence_patch_topk`.

    Attributes:
        aligned: mean of the k selected, un-normalised patches; the patches' dtype.
        scores: cosines of the selected patches, descending.
        indices: which patches; of equal scores the lower index comes first.
    """

    aligned: Float[Tensor, "B S E"]
    scores: Float[Tensor, "B S k"]
    indices: Int64[Tensor, "B S k"]


class MaskedPatchEmbed(Protocol):
    """Patch embedding of the visible patches only."""

    def __call__(
        self,
        volume: Int[Tensor, "B C H W D"] | Float[Tensor, "B C H W D"],
        weight: Float[Tensor, "E WC ph pw pd"],
        bias: Float[Tensor, "E"] | None,
        pos_embed: Float[Tensor, "N E"] | None,
        ids_keep: Int64[Tensor, "B L"] | None,
        *,
        patch_size: PatchSize,
        window: Windows | None = None,
    ) -> Float[Tensor, "B L E"]: ...


class SentencePatchTopK(Protocol):
    """Mean of the k patches that are most similar to each sentence."""

    def __call__(
        self,
        sentences: Float[Tensor, "B S E"],
        patches: Float[Tensor, "B N E"],
        *,
        k: int,
        sentence_mask: Bool[Tensor, "B S"] | None = None,
    ) -> TopK: ...


class SentenceVolumeScores(Protocol):
    """Mean of the k best cosines of every sentence against every volume."""

    def __call__(
        self,
        sentences: Float[Tensor, "Bs S E"],
        patches: Float[Tensor, "Bv N E"],
        *,
        k: int,
        sentence_mask: Bool[Tensor, "Bs S"] | None = None,
    ) -> Float[Tensor, "Bs Bv S"]: ...


class SoftVolumeScores(Protocol):
    """Log-sum-exp of the cosines of every sentence with every volume's patches."""

    def __call__(
        self,
        sentences: Float[Tensor, "Bs S E"],
        patches: Float[Tensor, "Bv N E"],
        *,
        temperature: float,
        sentence_mask: Bool[Tensor, "Bs S"] | None = None,
    ) -> Float[Tensor, "Bs Bv S"]: ...


class MaskedPatchMSE(Protocol):
    """Mean squared error of predicted patches against patches read from the volume."""

    def __call__(
        self,
        pred: Float[Tensor, "B M P"],
        volume: Int[Tensor, "B C H W D"] | Float[Tensor, "B C H W D"],
        ids_masked: Int64[Tensor, "B M"],
        *,
        patch_size: PatchSize,
        window: Window | None = None,
        normalize_patches: bool = False,
    ) -> Float[Tensor, ""]: ...


@dataclass(frozen=True)
class Ops:
    """One implementation of each operation, chosen once by `simcrop.compose.select_ops`."""

    name: str
    masked_patch_embed: MaskedPatchEmbed
    sentence_patch_topk: SentencePatchTopK
    sentence_volume_scores: SentenceVolumeScores
    soft_volume_scores: SoftVolumeScores
    masked_patch_mse: MaskedPatchMSE
