"""Pointing of the similarity map of a sentence at the place that the sentence speaks of.

A patch is inside if its box overlaps the true mask. Only patches that a sentence can choose count: a model may leave
those of air out (model.ignore_air), and to know tissue from air is not to find a place. Every number stands beside the
chance of the same rule, the share of those patches that are inside, and beside what is known without looking: where the
same finding lies in other patients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
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
    """Tell the patches that overlap the mask in at least one voxel.

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


def comparable(patches: Float[Tensor, "*B N E"]) -> Bool[Tensor, "*B N"]:
    """Tell the patches that a sentence can choose: those that the model left out are zero."""
    return (patches != 0).any(-1)


@dataclass(frozen=True)
class Pointing:
    """Fit of one sentence's map to its mask, among the patches that it can choose.

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


def point(
    finding: str, similarity: Float[Tensor, "N"], inside: Bool[Tensor, "N"], among: Bool[Tensor, "N"]
) -> Pointing | None:
    """Score one similarity map, or None where no patch or every patch is inside, so that nothing can be told.

    Args:
        finding: what the sentence speaks of.
        similarity: any map of the patches; only their order counts.
        inside: from `patches_inside`.
        among: from `comparable`.
    """
    similarity, inside = similarity[among], inside[among]
    if bool(inside.all()) or not bool(inside.any()):
        return None
    hit = bool(inside[similarity.argmax()])
    return Pointing(finding, hit, float(inside.double().mean()), auroc(similarity, inside))


def usual_places(
    patients: Sequence[str], inside: Sequence[Bool[Tensor, "N"]], words: Sequence[frozenset[str]] | None = None
) -> list[Float[Tensor, "N"] | None]:
    """Mean place of a finding in the others: the map of somebody who knows anatomy and does not look at the volume.

    Args:
        patients: of sentences that speak of the same finding.
        inside: their true places.
        words: of each sentence the words that name its place, for somebody who reads: among the others those with the
            same words count alone, where there are any.

    Returns:
        For each sentence the share of the other patients' sentences whose place each patch is inside of, float64; None
        where no other patient has the finding.
    """
    places = torch.stack(list(inside)).double()
    words = [frozenset[str]()] * len(patients) if words is None else words
    maps: list[Tensor | None] = []
    for patient, own in zip(patients, words, strict=True):
        others = torch.tensor([other != patient for other in patients])
        alike = others & torch.tensor([other == own for other in words])
        chosen = alike if bool(alike.any()) else others
        maps.append(places[chosen].mean(0) if bool(chosen.any()) else None)
    return maps


@dataclass(frozen=True)
class Grounding:
    """Means of the numbers of sentences.

    Attributes:
        findings: finding -> number -> mean over its sentences; `num_sentences` counts them.
        mean: number -> unweighted mean over findings, NaN without any.
    """

    findings: dict[str, dict[str, float]]
    mean: dict[str, float]


def summarize(findings: Sequence[str], numbers: Sequence[Mapping[str, float]], names: Sequence[str]) -> Grounding:
    """Mean over the sentences of each finding, then over findings, so that a frequent finding weighs no more.

    Args:
        findings: what each sentence speaks of.
        numbers: of each sentence; NaN for what it cannot tell.
        names: of the numbers.
    """
    by_finding: dict[str, list[Mapping[str, float]]] = {}
    for finding, own in zip(findings, numbers, strict=True):
        by_finding.setdefault(finding, []).append(own)
    means = {
        finding: {**_means(rows, names), "num_sentences": len(rows)} for finding, rows in sorted(by_finding.items())
    }
    return Grounding(means, _means(list(means.values()), names))


def _means(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, float]:
    return {name: mean_present([row[name] for row in rows]) for name in names}
