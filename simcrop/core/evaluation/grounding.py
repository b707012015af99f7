"""Does the similarity map of a sentence point at the place the sentence speaks of?

A patch is inside if its box overlaps the true mask. Every number stands beside the chance of the same rule: the share
of patches that are inside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from simcrop.core.errors import InputError
from simcrop.core.evaluation.metrics import auroc, mean_present
from simcrop.core.ops import PatchSize


def similarity_maps(sentences: Float[Tensor, "S E"], patches: Float[Tensor, "N E"]) -> Float[Tensor, "S N"]:
    """Cosine of each sentence with each patch.

    Args:
        sentences: features of the sentences of one study.
        patches: features of every patch of its volume, in patch order.

    Returns:
        [S, N] in [-1, 1], float32.

    Source: docs/method.md, section 4, item 3, on the whole volume.
    """
    return functional.normalize(sentences.float(), dim=-1) @ functional.normalize(patches.float(), dim=-1).T


def patches_inside(mask: Bool[Tensor, "H W D"], patch_size: PatchSize) -> Bool[Tensor, "N"]:
    """Which patches overlap the mask in at least one voxel.

    Args:
        mask: True inside, on the grid of the volume that the model saw.
        patch_size: voxels of a patch along each axis; divides the mask's size.

    Returns:
        [N] in patch order, token index (h * gW + w) * gD + d (docs/method.md, section 2, item 1).

    Raises:
        InputError: the mask is not divisible by the patch.
    """
    if any(size % patch for size, patch in zip(mask.shape, patch_size, strict=True)):
        raise InputError(f"mask: shape {tuple(mask.shape)} is not divisible by patch_size {patch_size}")
    (h, ph), (w, pw), (d, pd) = ((size // patch, patch) for size, patch in zip(mask.shape, patch_size, strict=True))
    boxes = mask.bool().reshape(h, ph, w, pw, d, pd)
    return boxes.any(5).any(3).any(1).flatten()


@dataclass(frozen=True)
class Pointing:
    """How the map of one sentence fits its mask.

    Attributes:
        finding: what the sentence speaks of.
        hit: the patch of highest similarity is inside (of equal ones the first counts).
        chance: share of patches that are inside, in (0, 1): the hit rate of a patch taken at random.
        auc: area under the ROC curve of the map against inside, in [0, 1]; chance is one half.
    """

    finding: str
    hit: bool
    chance: float
    auc: float


def point(finding: str, similarity: Float[Tensor, "N"], inside: Bool[Tensor, "N"]) -> Pointing | None:
    """Score one similarity map, or None where no patch or every patch is inside, so that nothing can be told."""
    chance = float(inside.double().mean())
    if chance in {0.0, 1.0}:
        return None
    hit = bool(inside[similarity.argmax()])
    return Pointing(finding, hit, chance, auroc(similarity, inside))


@dataclass(frozen=True)
class FindingGrounding:
    """Means over the sentences of one finding: hit rate, chance, area under the curve, and their number."""

    hit_rate: float
    chance: float
    auc: float
    num_sentences: int


@dataclass(frozen=True)
class Grounding:
    """Grounding of a set of studies: each finding apart, and the unweighted mean over findings (NaN without any)."""

    findings: dict[str, FindingGrounding]
    hit_rate: float
    chance: float
    auc: float


def summarize(pointings: Sequence[Pointing]) -> Grounding:
    """Mean over the sentences of each finding, then over findings, so that a frequent finding weighs no more."""
    by_finding: dict[str, list[Pointing]] = {}
    for pointing in pointings:
        by_finding.setdefault(pointing.finding, []).append(pointing)
    findings = {name: _mean(by_finding[name]) for name in sorted(by_finding)}
    rows = list(findings.values())
    return Grounding(
        findings,
        hit_rate=mean_present([row.hit_rate for row in rows]),
        chance=mean_present([row.chance for row in rows]),
        auc=mean_present([row.auc for row in rows]),
    )


def _mean(rows: Sequence[Pointing]) -> FindingGrounding:
    return FindingGrounding(
        hit_rate=fmean(row.hit for row in rows),
        chance=fmean(row.chance for row in rows),
        auc=fmean(row.auc for row in rows),
        num_sentences=len(rows),
    )
