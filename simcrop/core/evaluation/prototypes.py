"""Describe a volume by how well typical sentences are met in it: its scores for prototypes of training sentences.

The mean over patch tokens loses what few patches show; the mean of a sentence's best cosines does not. No label is
looked at.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from simcrop.core.data.held_out import HeldOutStudies
from simcrop.core.data.study import Study
from simcrop.core.evaluation.grounding import comparable
from simcrop.core.evaluation.sentences import read_findings
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.randomness import derive_seed, generator

NUM_PROTOTYPES = 192
BEST = (4, 32)
"""Patches that a score is the mean of: few for what is small, many for what fills a lobe."""
_MOST_REPORTS = 2048
"""Training reports that are read, an arbitrary part of more."""
_ROUNDS = 10


def read_prototypes(
    model: SimCroP, reader: HeldOutStudies, train: Sequence[Study], seed: int
) -> Float[Tensor, "m E"] | None:
    """Prototypes of the sentences of training reports; None where these hold no sentence.

    Args:
        model: trained with alignment, in eval mode.
        reader: reads the reports.
        train: studies that the model may have learned from.
        seed: of the choice.
    """
    sentences = distinct_sentences(model, reader, train)
    return None if sentences is None else prototypes(sentences, NUM_PROTOTYPES, seed)


def distinct_sentences(model: SimCroP, reader: HeldOutStudies, train: Sequence[Study]) -> Float[Tensor, "n E"] | None:
    """Features of the sentences of at most 2048 training reports, each text once; None where these hold no sentence.

    Args:
        model: trained with alignment, in eval mode.
        reader: reads the reports.
        train: studies that the model may have learned from.
    """
    some = sorted(train, key=lambda study: (derive_seed("prototypes", study.study_id), study.study_id))[:_MOST_REPORTS]
    distinct: dict[int, Tensor] = {}
    for read in read_findings(model, reader, some):
        for number, features in zip(read.findings.numbers, read.features, strict=True):
            distinct.setdefault(read.findings.keys[number], features)
    return torch.stack([*distinct.values()]) if distinct else None


def prototypes(sentences: Float[Tensor, "n E"], number: int, seed: int) -> Float[Tensor, "m E"]:
    """Unit centres of sentences by spherical k-means, at most `number`; the same for the same seed."""
    unit = functional.normalize(sentences.float(), dim=-1)
    first = torch.randperm(len(unit), generator=generator(seed, "prototypes"))[:number]
    centres = unit[first.to(unit.device)]
    for _ in range(_ROUNDS):
        nearest = functional.one_hot((unit @ centres.T).argmax(1), len(centres)).to(unit.dtype)
        sums = nearest.T @ unit
        centres = functional.normalize(torch.where(sums.any(1, keepdim=True), sums, centres), dim=-1)
    return centres


def prototype_scores(patches: Float[Tensor, "B N E"], centres: Float[Tensor, "m E"]) -> Float[Tensor, "B F"]:
    """Mean of the best cosines of every prototype in every volume, for each number of `BEST`; F = 2 m.

    Args:
        patches: `SimCroP.patch_features` of whole volumes. One that the model left out as air has no part, unless a
            volume has fewer others than are averaged: its cosine is 0 then.
        centres: from `prototypes`.
    """
    cosines = functional.normalize(patches.float(), dim=-1) @ centres.T
    order = cosines.masked_fill(~comparable(patches)[..., None], -2.0)
    best = order.topk(min(max(BEST), order.shape[1]), dim=1).values
    best = best.where(best >= -1.5, 0.0)
    return torch.cat([best[:, :number].mean(1) for number in BEST], dim=1)
