"""Similarity-driven alignment and late interaction (docs/method.md, section 4): losses on features, without parameters.

Every loss is this rank's share of the step's value: summed over micro-batches and averaged over ranks it gives the
mean over all sentences of the step, because DDP averages gradients over ranks.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from simcrop.core.ports import Communicator
from simcrop.core.recipe import AlignmentRecipe


@dataclass(frozen=True, eq=False)
class Sentences:
    """The sentences of a micro-batch, of one rank or gathered from all.

    Attributes:
        features: sentence embeddings; a padding row is zero.
        mask: True where a sentence exists.
        keys: stable hash of each sentence's text.
        study_keys: equal for reconstructions of one study.
        meaning: frozen text features that tell paraphrases, or None where the text encoder is being trained.
    """

    features: Float[Tensor, "B S E"]
    mask: Bool[Tensor, "B S"]
    keys: Int64[Tensor, "B S"]
    study_keys: Int64[Tensor, "B"]
    meaning: Float[Tensor, "B S F"] | None = None

    def gathered(self, communicator: Communicator) -> "Sentences":
        """Those of all ranks, in the order of ranks, padded to the longest report of any."""
        if communicator.world_size == 1:
            return self
        padded = self.padded(longest_anywhere(self.mask.shape[1], communicator, self.mask.device))
        return Sentences(
            communicator.gather(padded.features),
            communicator.gather(padded.mask),
            communicator.gather(padded.keys),
            communicator.gather(padded.study_keys),
            None if padded.meaning is None else communicator.gather(padded.meaning),
        )

    def padded(self, num_sentences: int) -> "Sentences":
        """The same with room for `num_sentences` in every report."""
        return replace(
            self,
            features=pad_sentences(self.features, num_sentences),
            mask=pad_sentences(self.mask, num_sentences),
            keys=pad_sentences(self.keys, num_sentences),
            meaning=None if self.meaning is None else pad_sentences(self.meaning, num_sentences),
        )


def longest_anywhere(num_sentences: int, communicator: Communicator, device: torch.device) -> int:
    """The largest `num_sentences` of any rank."""
    if communicator.world_size == 1:
        return num_sentences
    return int(communicator.gather(torch.tensor([num_sentences], device=device)).max())


def pad_sentences(values: Tensor, num_sentences: int) -> Tensor:
    """[B, S, ...] to [B, num_sentences, ...] with zeros."""
    if values.shape[1] == num_sentences:
        return values
    room = values.new_zeros(values.shape[0], num_sentences - values.shape[1], *values.shape[2:])
    return torch.cat([values, room], dim=1)


def sentence_means(
    tokens: Float[Tensor, "B T E"], sentence_of_token: Int64[Tensor, "B T"], num_sentences: int
) -> Float[Tensor, "B S E"]:
    """Mean of the tokens of each sentence; a sentence without a token gives zeros."""
    belongs = sentence_of_token[:, None] == torch.arange(num_sentences, device=tokens.device)[None, :, None]
    weights = belongs.to(tokens.dtype)
    return weights @ tokens / weights.sum(2, keepdim=True).clamp_min(1.0)


def alignment_loss(
    sentences: Sentences,
    aligned: Float[Tensor, "B S E"],
    recipe: AlignmentRecipe,
    *,
    num_sentences: int,
    communicator: Communicator,
) -> Float[Tensor, ""]:
    """InfoNCE between each sentence and the mean of its patches, both directions, summed.

    Args:
        sentences: of this rank.
        aligned: mean of the patches that each sentence selected.
        recipe: temperature, and which sentences are negatives.
        num_sentences: real sentences of the whole step over all ranks; 0 gives 0.
        communicator: gathers the negatives of other ranks where `negatives` is "global".

    Source: docs/method.md, section 4, item 4.
    """
    if recipe.negatives == "report":
        total = _report_nce(sentences, aligned, recipe)
    else:
        everyone = communicator if recipe.negatives == "global" else None
        total = _batch_nce(sentences, aligned, recipe, everyone)
    return total * communicator.world_size / max(1, num_sentences)


def _report_nce(sentences: Sentences, aligned: Tensor, recipe: AlignmentRecipe) -> Tensor:
    """Negatives: the other sentences of the same report."""
    mask, keys = sentences.mask, sentences.keys
    allowed = torch.ones_like(mask) if recipe.padding_negatives else mask
    allowed = allowed[:, None].expand(-1, mask.shape[1], -1)
    own = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    if recipe.mask_duplicates:
        allowed = allowed & (keys[:, :, None] != keys[:, None, :])
    allowed = allowed | own
    s, a = sentences.features, aligned
    return _nce(s, a, allowed, own, mask, recipe) + _nce(a, s, allowed, own, mask, recipe)


def _batch_nce(sentences: Sentences, aligned: Tensor, recipe: AlignmentRecipe, everyone: Communicator | None) -> Tensor:
    """Negatives: every sentence of the micro-batch, on all ranks if `everyone` is given."""
    all_sentences, all_aligned, first = sentences, aligned, 0
    if everyone is not None and everyone.world_size > 1:
        all_sentences = sentences.gathered(everyone)
        num_sentences = all_sentences.mask.shape[1]
        sentences, aligned = sentences.padded(num_sentences), pad_sentences(aligned, num_sentences)
        all_aligned = everyone.gather(aligned)
        first = everyone.rank * aligned.shape[0]
    B, S = sentences.mask.shape
    row_study = torch.arange(first, first + B, device=aligned.device).repeat_interleave(S)
    column_study = torch.arange(all_aligned.shape[0], device=aligned.device).repeat_interleave(S)
    own = torch.arange(first * S, (first + B) * S, device=aligned.device)[:, None] == torch.arange(
        all_aligned.shape[0] * S, device=aligned.device
    )
    allowed = torch.ones_like(own) if recipe.padding_negatives else all_sentences.mask.flatten()[None].expand_as(own)
    if recipe.mask_duplicates:
        same_text = sentences.keys.flatten()[:, None] == all_sentences.keys.flatten()
        same_study = sentences.study_keys.repeat_interleave(S)[:, None] == all_sentences.study_keys.repeat_interleave(S)
        allowed = allowed & ~same_text & ~(same_study & (row_study[:, None] != column_study))
    allowed = (allowed | own)[None]
    rows = sentences.mask.flatten()[None]
    s, a = sentences.features.flatten(0, 1)[None], aligned.flatten(0, 1)[None]
    all_s, all_a = all_sentences.features.flatten(0, 1)[None], all_aligned.flatten(0, 1)[None]
    return _nce(s, all_a, allowed, own, rows, recipe) + _nce(a, all_s, allowed, own, rows, recipe)


def _nce(
    queries: Float[Tensor, "G R E"],
    keys: Float[Tensor, "G C E"],
    allowed: Bool[Tensor, "G R C"],
    own: Bool[Tensor, "R C"],
    rows: Bool[Tensor, "G R"],
    recipe: AlignmentRecipe,
) -> Float[Tensor, ""]:
    """Sum over real rows of -log softmax at the row's own column, over allowed columns."""
    logits = cosines(queries, keys) / recipe.temperature
    logits = logits.masked_fill(~allowed, torch.finfo(logits.dtype).min)
    losses = logits.logsumexp(2) - logits.masked_fill(~own, 0.0).sum(2)
    return losses.masked_fill(~rows, 0.0).sum()


def cosines(rows: Float[Tensor, "*G R E"], columns: Float[Tensor, "*G C E"]) -> Float[Tensor, "*G R C"]:
    """Cosine of every row with every column, in fp32 at least; 0 with a zero row.

    Outside autocast: over a temperature of 0.07, a bf16 product is off by several hundredths.
    """
    with torch.autocast(rows.device.type, enabled=False):
        return _unit(rows) @ _unit(columns).transpose(-1, -2)


def _unit(features: Tensor) -> Tensor:
    """Rows over max(norm, 1e-12), in fp32 at least; a zero row stays zero."""
    features = features if features.dtype == torch.float64 else features.float()
    return F.normalize(features, dim=-1, eps=1e-12)
