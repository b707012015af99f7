"""Findings read off a volume by sentences alone, with no label learned from.

The score of a finding in a volume is how well sentences that assert it are met there, minus how well sentences that
deny it are: each by late interaction, the mean of the k best cosines with the volume's patches, as in training
(docs/method.md, section 4, item 5), and averaged over the sentences of either kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.core.ops import SentenceVolumeScores


@dataclass(frozen=True, eq=False)
class Prompts:
    """Features of the sentences of one finding, in the space that they share with patches.

    Attributes:
        present: of those that assert it, at least one.
        absent: of those that deny it, at least one.
    """

    present: Float[Tensor, "p E"]
    absent: Float[Tensor, "a E"]

    def __post_init__(self) -> None:
        if not len(self.present) or not len(self.absent):
            raise InputError("prompts: a finding needs at least one sentence that asserts it and one that denies it")


def finding_scores(
    prompts: Sequence[Prompts], patches: Float[Tensor, "V N E"], score: SentenceVolumeScores, *, k: int
) -> Float[Tensor, "V F"]:
    """Score of every finding in every volume: above 0 where it is met better than its denial, at most 2 in size.

    Args:
        prompts: of each finding.
        patches: of each volume.
        score: late interaction.
        k: cosines behind the score of one sentence.
    """
    sentences = torch.cat([side for each in prompts for side in (each.present, each.absent)])
    scores = score(sentences[None], patches, k=k)[0]  # [V, sentences]
    sides = scores.split([len(side) for each in prompts for side in (each.present, each.absent)], dim=1)
    columns = [present.mean(1) - absent.mean(1) for present, absent in zip(sides[::2], sides[1::2], strict=True)]
    return torch.stack(columns, dim=1)
