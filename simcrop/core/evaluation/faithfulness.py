"""Faithfulness of scores to what a volume shows, and of maps to the side that a sentence names.

Each test compares two numbers of a model. A model that does not look, or does not read, has the first above the second
half of the time; where the two are equal, that counts one half.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from simcrop.core.recipe import Size

Side = Literal["left", "right"]
_SIDE = re.compile(r"\b(left|right)\b", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Erasure:
    """Change of the score of one sentence where findings are erased.

    Attributes:
        fall: of the score when the sentence's own finding is erased, in units of the score's spread over volumes.
        falls: 1 where that is above 0, 0 below, one half at 0.
        specific: share of the patient's other findings, none in the same patch, whose erasure lowers the score less;
            NaN where there is none.
    """

    fall: float
    falls: float
    specific: float


def erasures(
    scores: Float[Tensor, "S"],
    without: Float[Tensor, "S S"],
    inside: Bool[Tensor, "S N"],
    spread: Float[Tensor, "S"],
) -> list[Erasure]:
    """Judge the sentences of one study by its volume with each one's finding erased.

    Args:
        scores: of the sentences in the volume.
        without: row i, column j: score of sentence i in the volume without the finding of sentence j.
        inside: patches that overlap the place of each sentence.
        spread: standard deviation of each sentence's score over volumes.
    """
    falls = (scores[:, None] - without).double()
    own = falls.diagonal()
    places = inside.double()
    together = places @ places.T > 0
    specific = _above(own[:, None], falls).masked_fill(together, math.nan).nanmean(1)
    # Without any spread there is no unit, and the fall becomes NaN or infinite.
    relative = own / spread.double()
    columns = (relative.where(relative.isfinite(), math.nan), _above(own, torch.zeros_like(own)), specific)
    return [Erasure(*row) for row in torch.stack(columns, dim=1).tolist()]


def named_side(text: str) -> Side | None:
    """The side that a sentence names; None where it names none or both."""
    named = {word.lower() for word in _SIDE.findall(text)}
    if len(named) != 1:
        return None
    return "left" if named == {"left"} else "right"


def with_sides_swapped(text: str) -> str:
    """The sentence with left for right and right for left, in the case of what they replace."""
    return _SIDE.sub(lambda match: _in_case_of(match[0], _OTHER[match[0].lower()]), text)


def _in_case_of(model: str, word: str) -> str:
    if model.isupper():
        return word.upper()
    return word.capitalize() if model[0].isupper() else word


@dataclass(frozen=True)
class SideReading:
    """Answer of a map to the side that its sentence names.

    Attributes:
        follows: 1 where the map lies further to the named side than that of the sentence with its sides swapped, 0
            where less far, one half where equally far.
        right: whether the best patch lies on the named side.
    """

    follows: float
    right: float


def side_reading(
    side: Side, own: Float[Tensor, "N"], swapped: Float[Tensor, "N"], among: Bool[Tensor, "N"], grid: Size
) -> SideReading | None:
    """Compare the maps of a sentence and of the same sentence with its sides swapped.

    A map lies the further to the left, the more the mean cosine of the volume's left half exceeds that of its right
    half. The middle layer of an odd number of patches belongs to neither.

    Args:
        side: that the sentence names.
        own: its map.
        swapped: the map of the swapped sentence.
        among: patches that a sentence can choose.
        grid: patches along each axis of the volume, whose first index grows to the patient's right.

    Returns:
        None where one half has no patch to choose.
    """
    half, number = grid[0] // 2, torch.arange(grid[0])
    numbers = number[:, None, None].expand(grid).flatten()
    here, there = (numbers < half) & among, (numbers >= grid[0] - half) & among
    if side == "right":
        here, there = there, here
    if not bool(here.any()) or not bool(there.any()):
        return None
    lean, swapped_lean = (each[here].double().mean() - each[there].double().mean() for each in (own, swapped))
    return SideReading(float(_above(lean, swapped_lean)), float(_above(own[here].max(), own[there].max())))


def spread_over_volumes(scores: Sequence[Float[Tensor, "V S"]]) -> Float[Tensor, "S"]:
    """Standard deviation of each sentence's score over volumes, which come in parts; NaN for a single volume."""
    together = torch.cat(list(scores)).double()
    return together.std(0) if len(together) > 1 else together.new_full(together.shape[1:], math.nan)


def _above(values: Tensor, bars: Tensor) -> Float[Tensor, "..."]:
    """1 where a value is above its bar, 0 below, one half where the two are equal."""
    return (values > bars).double() + 0.5 * (values == bars).double()
