"""The authors' linear probe: its numbers by data set and share of the labels (docs/method.md, section 9)."""

from collections.abc import Sequence
from dataclasses import dataclass

from simcrop.core.data.study import Study


@dataclass(frozen=True)
class PublishedRecipe:
    """One row of the authors' table.

    Attributes:
        steps: updates.
        lr: peak learning rate.
        warmup_steps: of it.
        batch_size: studies of an update.
        patience: scores without improvement that end training; one score an epoch, which the sources leave open.
    """

    steps: int
    lr: float
    warmup_steps: int
    batch_size: int
    patience: int


WEIGHT_DECAY = 1e-5
GRAD_CLIP = 1.0
BETAS = (0.9, 0.999)
RECIPES: dict[str, dict[int, PublishedRecipe]] = {
    "ct_rate": {
        1: PublishedRecipe(1000, 1.5e-3, 150, 32, 10),
        10: PublishedRecipe(10000, 3e-3, 1500, 64, 10),
        100: PublishedRecipe(10000, 3e-3, 1500, 64, 10),
    },
    "radchestct": {
        10: PublishedRecipe(2000, 1.5e-3, 80, 32, 10),
        100: PublishedRecipe(2000, 3e-3, 200, 128, 10),
    },
    "cc_ccii": {
        1: PublishedRecipe(200, 1.5e-3, 20, 29, 20),
        10: PublishedRecipe(2000, 1.5e-3, 150, 32, 20),
        100: PublishedRecipe(2000, 1.5e-3, 200, 128, 20),
    },
    "luna16": {
        10: PublishedRecipe(200, 1.5e-3, 20, 31, 200),
        100: PublishedRecipe(2000, 1.5e-3, 200, 32, 20),
    },
}
"""Data source -> percent of the labels -> recipe."""
LISTS = {"ct_rate": (46363, 3009), "radchestct": (2286, 360), "cc_ccii": (2899, 1243), "luna16": (621, 267)}
"""Data source -> volumes in the authors' lists for training and for testing."""


def published_recipe(source: str, percent: float) -> tuple[PublishedRecipe, str | None]:
    """The authors' numbers, and what to say where they have none for this data or share.

    A share that is not in the table takes the next larger one, other data those of CT-RATE.
    """
    rows = RECIPES.get(source, RECIPES["ct_rate"])
    row = min((listed for listed in rows if listed >= percent), default=max(rows))
    if source in RECIPES and row == percent:
        return rows[row], None
    taken = f"those of {source if source in RECIPES else 'ct_rate'} at {row} % are taken"
    return rows[row], f"the authors published no numbers for {source} at {percent:g} %: {taken}"


def counting_note(source: str, studies: Sequence[Study], test: Sequence[Study]) -> str | None:
    """How the volumes that are read differ from the authors', who count each; None where every one is a patient's only.

    Args:
        source: of the data.
        studies: outside the test set.
        test: the test set.
    """
    everything = [*studies, *test]
    num_volumes = sum(len(study.reconstructions) for study in everything)
    if num_volumes == len({study.patient_id for study in everything}):
        return None
    sizes = "" if source not in LISTS else " ({} to learn from, {} to test on)".format(*LISTS[source])
    return (
        f"the authors' lists and their percentages count volumes{sizes}; here the first reconstruction of each study "
        f"alone is read ({len(everything)} of {num_volumes} volumes), and labels.percent is of the "
        f"{len({study.patient_id for study in studies})} patients outside the test set"
    )
