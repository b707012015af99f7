"""The authors' linear probe: its numbers by data set and share of the labels (docs/method.md, section 9)."""

from collections.abc import Sequence

from simcrop.core.data.study import Study
from simcrop.core.recipe import Optimisation


def authors_row(steps: int, lr: float, warmup_steps: int, batch_size: int, patience: int) -> Optimisation:
    """One row of the authors' table; one score an epoch, which the sources leave open."""
    return Optimisation(
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        warmup_steps=warmup_steps,
        weight_decay=1e-5,
        patience=patience,
        checkpoint_every=200,
    )


NUMBERS = ("steps", "lr", "warmup_steps", "batch_size", "patience")
"""What rows differ in."""
RECIPES: dict[str, dict[int, Optimisation]] = {
    "ct_rate": {
        1: authors_row(1000, 1.5e-3, 150, 32, 10),
        10: authors_row(10000, 3e-3, 1500, 64, 10),
        100: authors_row(10000, 3e-3, 1500, 64, 10),
    },
    "radchestct": {
        10: authors_row(2000, 1.5e-3, 80, 32, 10),
        100: authors_row(2000, 3e-3, 200, 128, 10),
    },
    "cc_ccii": {
        1: authors_row(200, 1.5e-3, 20, 29, 20),
        10: authors_row(2000, 1.5e-3, 150, 32, 20),
        100: authors_row(2000, 1.5e-3, 200, 128, 20),
    },
    "luna16": {
        10: authors_row(200, 1.5e-3, 20, 31, 200),
        100: authors_row(2000, 1.5e-3, 200, 32, 20),
    },
}
"""Data source -> percent of the labels -> recipe."""
LISTS = {"ct_rate": (46363, 3009), "radchestct": (2286, 360), "cc_ccii": (2899, 1243), "luna16": (621, 267)}
"""Data source -> volumes in the authors' lists for training and for testing."""


def published_recipe(source: str, percent: float) -> tuple[Optimisation, str | None]:
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
