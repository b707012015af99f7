"""Similarity-driven alignment (docs/method.md, section 4): each sentence and the patches that it selects."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from simcrop.core.data.batch import TensorGroup
from simcrop.core.objectives.objective import (
    Comparison,
    Objective,
    Pass,
    Sentences,
    cosines,
    own_columns,
    pad_sentences,
    summed_cross_entropy,
)
from simcrop.core.ops import Ops
from simcrop.core.ports import Communicator
from simcrop.core.recipe import AlignmentRecipe


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
    own = own_columns(first * S, B * S, all_aligned.shape[0] * S, aligned.device)
    allowed = torch.ones_like(own) if recipe.padding_negatives else all_sentences.mask.flatten()[None].expand_as(own)
    if recipe.mask_duplicates:
        same_text = sentences.keys.flatten()[:, None] == all_sentences.keys.flatten()
        same_study = sentences.study_keys[:, None] == all_sentences.study_keys
        another = same_study & ~own_columns(first, B, all_aligned.shape[0], aligned.device)
        allowed = allowed & ~same_text & ~another.repeat_interleave(S, 0).repeat_interleave(S, 1)
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
    """The loss of one direction over `recipe.temperature`."""
    return summed_cross_entropy(cosines(queries, keys) / recipe.temperature, allowed=allowed, own=own, rows=rows)


def selected_means(
    patches: Float[Tensor, "B L E"],
    sentences: Sentences,
    recipe: AlignmentRecipe,
    *,
    ops: Ops,
    padding_patches: Int64[Tensor, "B K"] | None,
) -> Float[Tensor, "B S E"]:
    """Mean of the patches that each sentence selects: those of highest cosine.

    Args:
        patches: visible ones, in the space of the sentences.
        sentences: of the findings.
        recipe: how many patches, and whether padding sentences select any.
        ops: implementation of the selection.
        padding_patches: places of the patches that padding sentences take; None: the first, since all are as similar.

    Returns:
        Zero for padding sentences that select none.

    Source: docs/method.md, section 4, item 3.
    """
    mask = None if recipe.padding_negatives else sentences.mask
    aligned = ops.sentence_patch_topk(sentences.features, patches, k=recipe.top_k, sentence_mask=mask).aligned
    if padding_patches is None or not recipe.padding_negatives:
        return aligned
    places = padding_patches[..., None].expand(-1, -1, patches.shape[2])
    drawn = patches.gather(1, places).mean(1, keepdim=True)
    return torch.where(sentences.mask[..., None], aligned, drawn.to(aligned.dtype))


@dataclass(frozen=True, eq=False)
class Aligned(TensorGroup):
    """Sentences, and the mean of the patches that each selected."""

    sentences: Sentences
    means: Float[Tensor, "B S E"]


def _read(step: Pass) -> Aligned:
    _, sentences = step.contextual()
    return Aligned(sentences, step.aligned())


def _share(compared: Aligned, step: Pass, num_sentences: int) -> Float[Tensor, ""]:
    return alignment_loss(
        compared.sentences,
        compared.means,
        step.objectives.alignment,
        num_sentences=num_sentences,
        communicator=step.communicator,
    )


ALIGNMENT = Objective(
    "alignment",
    count=lambda inputs, _: int(inputs.sentence_mask.sum()),
    share=Comparison(_read, _share, crosses_studies=lambda objectives: objectives.alignment.negatives != "report"),
)
