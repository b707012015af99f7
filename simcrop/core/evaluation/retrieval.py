"""Finding the volume that a report describes among others, and the report of a volume.

The score of a report in a volume is the weighted mean, over its sentences, of `sentence_volume_scores`: late
interaction as in training (docs/method.md, section 4, item 5). Candidates that score the same as the right one come
before it: a model which tells nothing apart finds nothing.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from simcrop.core.errors import InputError


def rarity(reports: Sequence[Sequence[int]]) -> Callable[[int], float]:
    """Weight of a sentence by how few reports hold it: 1 + ln((n + 1) / (n_with + 1)), as scikit-learn's smooth idf.

    Args:
        reports: keys of the sentences of each of the n reports that are learned from.

    Returns:
        Weight of a key: 1 for a sentence in every report, highest for one in none.
    """
    counts = Counter(key for keys in reports for key in set(keys))
    return lambda key: 1.0 + math.log((len(reports) + 1) / (counts[key] + 1))


def same_reports(reports: Sequence[Sequence[int]]) -> Bool[Tensor, "n n"]:
    """Tell the reports that hold the same sentences, in any order.

    Args:
        reports: keys of the sentences of each.
    """
    numbers: dict[tuple[int, ...], int] = {}
    kinds = torch.tensor([numbers.setdefault(tuple(sorted(keys)), len(numbers)) for keys in reports])
    return kinds[:, None] == kinds


def first_of_each(texts: Sequence[str]) -> list[int]:
    """Indices of the texts that say what none before them says, word for word."""
    return sorted({text: index for index, text in reversed(list(enumerate(texts)))}.values())


def report_scores(
    scores: Float[Tensor, "S V"], report_of_sentence: Int64[Tensor, "S"], weights: Float[Tensor, "S"]
) -> Float[Tensor, "R V"]:
    """Weighted mean of the scores of each report's sentences.

    Args:
        scores: of every sentence in every volume.
        report_of_sentence: numbers from 0 on; every report has a sentence.
        weights: above 0.
    """
    num_reports = int(report_of_sentence.max()) + 1
    weights = weights.to(scores)
    sums = scores.new_zeros(num_reports, scores.shape[1]).index_add_(0, report_of_sentence, scores * weights[:, None])
    return sums / scores.new_zeros(num_reports).index_add_(0, report_of_sentence, weights)[:, None]


def first_match_ranks(scores: Float[Tensor, "Q C"], matches: Bool[Tensor, "Q C"]) -> Int64[Tensor, "Q"]:
    """Rank of the best of the right candidates of each query, from 1 on; wrong ones that tie with it come before it.

    Raises:
        InputError: a query without a right candidate, or a score that is NaN.
    """
    if scores.shape != matches.shape or not bool(matches.any(1).all()):
        raise InputError("matches: every query needs a right candidate")
    if bool(scores.isnan().any()):
        raise InputError("scores: a score is NaN; the model's outputs must be finite")
    best = scores.masked_fill(~matches, -math.inf).amax(1, keepdim=True)
    return 1 + ((scores >= best) & ~matches).sum(1)


@dataclass(frozen=True)
class Chance:
    """Results of candidates in random order.

    Attributes:
        num_candidates: of every query.
        num_right: number of right candidates -> queries that have so many.
    """

    num_candidates: int
    num_right: Counter[int]

    @classmethod
    def of(cls, matches: Bool[Tensor, "Q C"]) -> "Chance":
        """Count the right candidates."""
        return cls(matches.shape[1], Counter[int](matches.sum(1).tolist()))

    def within(self, k: int) -> float:
        """Recall at k, averaged over the queries."""
        left = max(0, self.num_candidates - k)
        missed = sum(times * self._all_among(left, count) for count, times in self.num_right.items())
        return 1.0 - missed / self.num_right.total()

    def _all_among(self, left: int, count: int) -> float:
        """Chance that all right candidates lie among those that are not looked at."""
        return math.prod(max(0, left - number) / (self.num_candidates - number) for number in range(count))

    @property
    def median_rank(self) -> int:
        """Of the best right candidate: the first within which half of the queries find one."""
        return next(k for k in range(1, self.num_candidates + 1) if self.within(k) >= 0.5)


def weighted_median(values: Int64[Tensor, "n"], weights: Float[Tensor, "draws n"]) -> Float[Tensor, "draws"]:
    """The smallest value up to which at least half of the weight lies, in every draw.

    Args:
        values: such as ranks.
        weights: how much each counts in each draw, not all 0.
    """
    values, order = values.sort()
    below = weights[:, order].cumsum(1)
    return values[(below < below[:, -1:] / 2).sum(1)].to(weights)
