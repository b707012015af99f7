"""The authors' linear probe: its numbers by data set and share of the labels (docs/method.md, section 9)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simcrop.core.data.study import Study
from simcrop.core.recipe import Optimisation

NUMBERS = ("steps", "lr", "warmup_steps", "batch_size", "patience")
"""What rows of the authors' table differ in."""
UNSCORED_EPOCHS = 10
"""Epochs ahead of the authors' first score, from which on their patience counts."""


def authors_row(*numbers: float) -> Optimisation:
    """A row from its `NUMBERS`; one score an epoch."""
    own: dict[str, Any] = dict(zip(NUMBERS, numbers, strict=True))
    return Optimisation(**own, weight_decay=1e-5, checkpoint_every=200)


@dataclass(frozen=True)
class PublishedProbe:
    """The authors' probe of one data set; `UNPUBLISHED` where they have none.

    Attributes:
        name: `data.source` of it.
        recipes: by percent of the labels.
        num_volumes: in the authors' lists for training and for testing.
        selects_apart: whether their validation list is another than their test list.
    """

    name: str
    recipes: Mapping[int, Optimisation]
    num_volumes: tuple[int, int] | None = None
    selects_apart: bool = False


_LONG = authors_row(10000, 3e-3, 1500, 64, 10)
UNPUBLISHED = PublishedProbe("", {})
CT_RATE = PublishedProbe(
    "ct_rate", {1: authors_row(1000, 1.5e-3, 150, 32, 10), 10: _LONG, 100: _LONG}, num_volumes=(46363, 3009)
)
RADCHESTCT = PublishedProbe(
    "radchestct",
    {10: authors_row(2000, 1.5e-3, 80, 32, 10), 100: authors_row(2000, 3e-3, 200, 128, 10)},
    num_volumes=(2286, 360),
    selects_apart=True,
)
CC_CCII = PublishedProbe(
    "cc_ccii",
    {
        1: authors_row(200, 1.5e-3, 20, 29, 20),
        10: authors_row(2000, 1.5e-3, 150, 32, 20),
        100: authors_row(2000, 1.5e-3, 200, 128, 20),
    },
    num_volumes=(2899, 1243),
)
LUNA16 = PublishedProbe(
    "luna16",
    {10: authors_row(200, 1.5e-3, 20, 31, 200), 100: authors_row(2000, 1.5e-3, 200, 32, 20)},
    num_volumes=(621, 267),
)


def published_recipe(published: PublishedProbe, source: str, percent: float) -> tuple[Optimisation, str | None]:
    """The authors' numbers, and what to say where they have none for this data or share.

    A share that is not in the table takes the next larger one, other data those of CT-RATE.

    Args:
        published: the authors' probe of the data set.
        source: `data.source`, for messages.
        percent: of the labels.
    """
    taken = published if published.recipes else CT_RATE
    row = min((listed for listed in taken.recipes if listed >= percent), default=max(taken.recipes))
    if taken is published and row == percent:
        return taken.recipes[row], None
    return taken.recipes[row], (
        f"the authors published no numbers for {source} at {percent:g} %: those of {taken.name} at {row} % are taken"
    )


def counting_note(published: PublishedProbe, studies: Sequence[Study], test: Sequence[Study]) -> str | None:
    """Say how the volumes that are read differ from the authors', who count each; None where each patient has one.

    Args:
        published: the authors' probe of the data set.
        studies: outside the test set.
        test: the test set.
    """
    everything = [*studies, *test]
    num_volumes = sum(len(study.reconstructions) for study in everything)
    if num_volumes == len({study.patient_id for study in everything}):
        return None
    sizes = "" if published.num_volumes is None else " ({} to learn from, {} to test on)".format(*published.num_volumes)
    return (
        f"the authors' lists and their percentages count volumes{sizes}; here the first reconstruction of each study "
        f"alone is read ({len(everything)} of {num_volumes} volumes), and labels.percent is of the "
        f"{len({study.patient_id for study in studies})} patients outside the test set"
    )
