"""Draw the patients whose labels are learned from, and those of them that choose between settings instead."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from simcrop.core.errors import ConfigError
from simcrop.core.randomness import derive_seed


@dataclass(frozen=True)
class LabelSplit:
    """Indices of the studies that are learned from, and of those that settings are chosen by; both ascending."""

    learn: tuple[int, ...]
    select: tuple[int, ...]

    @property
    def both(self) -> tuple[int, ...]:
        """All whose labels are looked at."""
        return (*self.learn, *self.select)


def draw_labelled(
    patients: Sequence[str], *, percent: float, selection_fraction: float | None, seed: int
) -> LabelSplit:
    """Draw patients in an order that the seed alone decides, and give every so many of them to selection.

    The patients of a smaller percentage are among those of a larger one, in the same role. Where so few are drawn that
    a role would be left empty, the last one is for selection and the others are learned from.

    Args:
        patients: patient of each study outside the test set.
        percent: share of the patients, rounded.
        selection_fraction: share of the drawn patients that settings are chosen by; None takes all to learn from.
        seed: of the draw.

    Raises:
        ConfigError: that is too few patients.
    """
    order = sorted(set(patients), key=lambda patient: (derive_seed("labels", seed, patient), patient))
    drawn = order[: math.floor(percent / 100 * len(order) + 0.5)]
    least = 1 if selection_fraction is None else 2
    if len(drawn) < least:
        raise ConfigError(_too_few(len(order), len(drawn), percent, least))
    selecting: set[str] = set()
    if selection_fraction is not None:
        # Counting from one half puts the first of them in the middle of its stretch, not at its end.
        marks = [math.floor(number * selection_fraction + 0.5) for number in range(len(drawn) + 1)]
        selecting = {patient for number, patient in enumerate(drawn) if marks[number + 1] > marks[number]}
        if not selecting or len(selecting) == len(drawn):
            selecting = {drawn[-1]}
    learning = set(drawn) - selecting
    return LabelSplit(
        tuple(index for index, patient in enumerate(patients) if patient in learning),
        tuple(index for index, patient in enumerate(patients) if patient in selecting),
    )


def _too_few(num_patients: int, num_drawn: int, percent: float, least: int) -> str:
    wanted = "one to learn from" + (" and one to choose settings by" if least == 2 else "")
    found = f"labels.percent: {percent:g} % of {num_patients} patients outside the test set are {num_drawn}"
    if num_patients < least:
        return f"{found}, which leaves not even {wanted}; lower data.validation_fraction or name more data"
    enough = math.ceil((least - 0.5) / num_patients * 10_000) / 100
    return f"{found}, which leaves not even {wanted}; write at least {enough:g}"
