"""The best series of a study, by what headers say: the rule of `simcrop data index`.

A series counts where nothing is wrong with it, and it is as thin, and with or without contrast agent, as is asked for.
Of those that count, the first of this order is the best: axial before other planes; original before derived; called no
other part of the body than the chest; of the kernel that is preferred; the thinnest, to a tenth of a mm; soft tissue
before lung before unknown kernels; the most slices; the first by number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from simcrop.core.data.series_words import KernelKind

_BY_KERNEL: dict[KernelKind, int] = {"soft": 0, "lung": 1, "": 2}


@dataclass(frozen=True)
class Preference:
    """What is asked for beyond that.

    Attributes:
        kernel: taken before thinner series of another one; None takes the thinnest of any.
        max_thickness_mm: thicker series do not count.
        contrast: series with, or without, a contrast agent alone count.
    """

    kernel: Literal["soft", "lung"] | None = None
    max_thickness_mm: float | None = None
    contrast: Literal["with", "without"] | None = None


@dataclass(frozen=True)
class SeriesFacts:
    """A series as the rule sees it.

    Attributes:
        is_usable: whether nothing is wrong with it.
        is_axial: whether its slices lie across the body.
        is_derived: whether it was computed of another series.
        is_other_part: whether its description names another part of the body.
        has_contrast: whether a contrast agent is named.
        kernel: of what kind.
        thickness_mm: of its slices, or their distance where that is larger; None where it is unknown.
        num_slices: places at which it has a slice.
    """

    is_usable: bool = True
    is_axial: bool = True
    is_derived: bool = False
    is_other_part: bool = False
    has_contrast: bool = False
    kernel: KernelKind = ""
    thickness_mm: float | None = None
    num_slices: int = 0


def best_of(series: Sequence[SeriesFacts], wanted: Preference) -> int | None:
    """Place of the best series of a study; None where none counts.

    Args:
        series: of one study, by their numbers.
        wanted: what is asked for.
    """
    counting = [place for place, facts in enumerate(series) if _counts(facts, wanted)]
    return min(counting, key=lambda place: (_rank(series[place], wanted), place), default=None)


def _counts(facts: SeriesFacts, wanted: Preference) -> bool:
    most = wanted.max_thickness_mm
    is_thin = most is None or (facts.thickness_mm is not None and facts.thickness_mm <= most)
    is_as_asked = wanted.contrast is None or facts.has_contrast == (wanted.contrast == "with")
    return facts.is_usable and is_thin and is_as_asked


def _rank(facts: SeriesFacts, wanted: Preference) -> tuple[bool, bool, bool, bool, float, int, int]:
    return (
        not facts.is_axial,
        facts.is_derived,
        facts.is_other_part,
        wanted.kernel is not None and facts.kernel != wanted.kernel,
        float("inf") if facts.thickness_mm is None else round(facts.thickness_mm, 1),
        _BY_KERNEL[facts.kernel],
        -facts.num_slices,
    )
