"""Findings read off a volume by sentences alone, with no label learned from.

How well a sentence is met in a volume is its score by late interaction, as in training (docs/method.md, section 4,
item 5). A finding's score there is the mean over sentences
that assert it, minus the mean over those that deny it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.core.errors import InputError


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
    prompts: Sequence[Prompts], patches: Float[Tensor, "V N E"], score: Callable[[Tensor, Tensor], Tensor]
) -> Float[Tensor, "V F 2"]:
    """Score every finding in every volume: (its assertions, its denials), each from -1 to 1.

    Args:
        prompts: of each finding.
        patches: of each volume.
        score: of sentences [S, E] in the volumes of patches [V, N, E], from -1 to 1, [V, S].
    """
    sentences = torch.cat([side for each in prompts for side in (each.present, each.absent)])
    scores = score(sentences, patches)
    sides = scores.split([len(side) for each in prompts for side in (each.present, each.absent)], dim=1)
    return torch.stack([side.mean(1) for side in sides], dim=1).unflatten(1, (len(prompts), 2))
