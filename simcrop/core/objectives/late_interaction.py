"""Late interaction: every sentence against every volume (docs/method.md, section 4, item 5; not in the paper)."""

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from simcrop.core.data.batch import TensorGroup
from simcrop.core.objectives.objective import (
    Comparison,
    Objective,
    Pass,
    Sentences,
    cosines,
    own_columns,
    summed_cross_entropy,
)
from simcrop.core.ops import Ops
from simcrop.core.ports import Communicator
from simcrop.core.recipe import LateInteractionRecipe

_FIRST_SCALE, _MAX_SCALE = 50.0, 100.0
"""At the start all patches point almost the same way: the scores of a sentence in two volumes differ by hundredths."""
_FIRST_BIAS = -6.0
"""At the start few sentences count as present, as few are."""


class LateInteraction(nn.Module):
    """Scores times a learned scale, and for present or absent also a learned bias."""

    def __init__(self, recipe: LateInteractionRecipe, ops: Ops) -> None:
        super().__init__()
        self.recipe, self._ops = recipe, ops
        self.log_scale = nn.Parameter(torch.tensor([math.log(_FIRST_SCALE)]))
        self.bias = nn.Parameter(torch.tensor([_FIRST_BIAS]))

    @property
    def scale(self) -> Tensor:
        """The factor of the scores, at most 100."""
        return self.log_scale.exp().clamp(max=_MAX_SCALE)

    def forward(
        self,
        sentences: Sentences,
        patches: Float[Tensor, "B L E"],
        scan: Float[Tensor, "B 1 E"] | None = None,
        *,
        num_sentences: int,
        num_studies: int,
        communicator: Communicator,
        at_once: int | None = None,
    ) -> Float[Tensor, ""]:
        """Sentence to volume plus volume to sentence.

        Args:
            sentences: of this rank.
            patches: patch features of this rank's volumes, in the space of the sentences.
            scan: one feature of each of these volumes, which gets the same loss times `scan_weight`.
            num_sentences: real sentences of the whole step over all ranks.
            num_studies: studies of the whole step over all ranks.
            communicator: gathers the sentences of all ranks, and their scores in all ranks' volumes.
            at_once: volumes that are scored at a time, and again in the backward pass; None: all of this rank's, once.
        """
        everyone = sentences.gathered(communicator)
        same = same_sentences(everyone, self.recipe.same_above)
        present = sentence_presence(everyone, same)
        compared = [(1.0, patches), *([] if scan is None else [(self.recipe.scan_weight, scan)])]
        share = torch.zeros((), device=patches.device)
        for weight, volumes in compared:
            to_volume, to_sentence = self._losses(everyone, volumes, same, present, communicator, at_once)
            share = share + weight * (to_volume / max(1, num_sentences) + to_sentence / max(1, num_studies))
        return share * communicator.world_size

    def _losses(
        self,
        everyone: Sentences,
        patches: Float[Tensor, "B L E"],
        same: Bool[Tensor, "n n"],
        present: Bool[Tensor, "Bs S Bv"],
        communicator: Communicator,
        at_once: int | None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Sums of the two losses over this rank's sentences and volumes."""
        here = self._scores(everyone, patches, at_once)
        first, num_here = communicator.rank * patches.shape[0], patches.shape[0]
        own = slice(first, first + num_here)
        everywhere = communicator.gather(here.transpose(0, 1).contiguous())  # [Bv, Bs, S]
        to_volume = self._to_volume(everywhere[:, own].permute(1, 2, 0), present[own], everyone.mask[own], first)
        return to_volume, self._to_sentence(here, present[:, :, own], everyone, same)

    def _scores(
        self, everyone: Sentences, patches: Float[Tensor, "B L E"], at_once: int | None
    ) -> Float[Tensor, "Bs B S"]:
        if at_once is None or at_once >= patches.shape[0]:
            return volume_scores(everyone.features, patches, self.recipe, self._ops, sentence_mask=everyone.mask)

        def score(features: Tensor, some: Tensor) -> Tensor:
            return volume_scores(features, some, self.recipe, self._ops, sentence_mask=everyone.mask)

        parts = [
            cast(Tensor, checkpoint(score, everyone.features, some, use_reentrant=False, preserve_rng_state=False))
            for some in patches.split(at_once)
        ]
        return torch.cat(parts, dim=1)

    def _to_volume(
        self,
        scores: Float[Tensor, "B S Bv"],
        present: Bool[Tensor, "B S Bv"],
        mask: Bool[Tensor, "B S"],
        first: int,
    ) -> Float[Tensor, ""]:
        """Sum over this rank's sentences of the cross-entropy over volumes, the target being its own."""
        B, _, num_volumes = scores.shape
        own = own_columns(first, B, num_volumes, scores.device)[:, None]
        return summed_cross_entropy(scores * self.scale, allowed=~present | own, own=own, rows=mask)

    def _to_sentence(
        self,
        scores: Float[Tensor, "Bs B S"],
        present: Bool[Tensor, "Bs S B"],
        everyone: Sentences,
        same: Bool[Tensor, "n n"],
    ) -> Float[Tensor, ""]:
        """Sum over this rank's volumes of the mean binary cross-entropy over the batch's distinct sentences."""
        distinct = everyone.mask.flatten() & ~same.tril(-1).any(1)
        logits = (scores * self.scale + self.bias).transpose(1, 2).flatten(0, 1)  # [n, B]
        targets = present.flatten(0, 1).to(logits.dtype)
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return losses.masked_fill(~distinct[:, None], 0.0).sum() / distinct.sum().clamp_min(1)


def volume_scores(
    sentences: Float[Tensor, "Bs S E"],
    patches: Float[Tensor, "Bv N E"],
    recipe: LateInteractionRecipe,
    ops: Ops,
    *,
    sentence_mask: Bool[Tensor, "Bs S"] | None = None,
) -> Float[Tensor, "Bs Bv S"]:
    """Score of each sentence in each volume, from -1 to 1, by the recipe's pooling."""
    if recipe.pooling == "soft":
        return ops.soft_volume_scores(sentences, patches, temperature=recipe.temperature, sentence_mask=sentence_mask)
    k = min(recipe.top_k, patches.shape[1])
    return ops.sentence_volume_scores(sentences, patches, k=k, sentence_mask=sentence_mask)


def same_sentences(sentences: Sentences, same_above: float) -> Bool[Tensor, "n n"]:
    """Tell the real sentences that say the same: equal text, or frozen features with a cosine above `same_above`."""
    keys, mask = sentences.keys.flatten(), sentences.mask.flatten()
    same = keys[:, None] == keys
    if sentences.meaning is not None:
        meaning = sentences.meaning.flatten(0, 1)
        same = same | (cosines(meaning, meaning) > same_above)
    return same & mask[:, None] & mask


def sentence_presence(sentences: Sentences, same: Bool[Tensor, "n n"]) -> Bool[Tensor, "Bs S Bv"]:
    """Tell the volumes that a sentence is true of: their report says the same, or they are the same study."""
    B, S = sentences.mask.shape
    said = cast(Tensor, same.unflatten(1, (B, S)).any(2)).unflatten(0, (B, S))
    same_study = sentences.study_keys[:, None] == sentences.study_keys
    return said | (same_study[:, None] & sentences.mask[..., None])


@dataclass(frozen=True, eq=False)
class Scanned(TensorGroup):
    """Sentences, and the patches and the scan feature of the volumes that they are scored in."""

    sentences: Sentences
    patches: Float[Tensor, "B L E"]
    scan: Float[Tensor, "B 1 E"] | None


def _read(step: Pass) -> Scanned:
    patches, sentences = step.local()
    return Scanned(sentences, patches, step.scan())


def _share(compared: Scanned, step: Pass, num_sentences: int) -> Float[Tensor, ""]:
    num_volumes, num_here = compared.patches.shape[0], len(step.batch)
    return step.module(LATE_INTERACTION.name)(
        compared.sentences,
        compared.patches,
        compared.scan,
        num_sentences=num_sentences,
        num_studies=step.num_studies,
        communicator=step.communicator,
        # Where micro-batches were put together, no more pairs of studies at a time than one of them has.
        at_once=max(1, num_here**2 // max(1, num_volumes)),
    )


LATE_INTERACTION = Objective(
    "late_interaction",
    count=lambda inputs, _: int(inputs.sentence_mask.sum()),
    share=Comparison(_read, _share),
    module=lambda objectives, _, ops: LateInteraction(objectives.late_interaction, ops),
)
