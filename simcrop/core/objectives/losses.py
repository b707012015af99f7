"""The objectives, and what the losses of a step are averaged over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from simcrop.core.data.batch import Batch, PreparedBatch
from simcrop.core.objectives.alignment import ALIGNMENT
from simcrop.core.objectives.late_interaction import LATE_INTERACTION
from simcrop.core.objectives.objective import Objective
from simcrop.core.objectives.reconstruction import RECONSTRUCTION
from simcrop.core.objectives.report import REPORT
from simcrop.core.ports import Communicator
from simcrop.core.recipe import ObjectivesRecipe

OBJECTIVES: tuple[Objective, ...] = (RECONSTRUCTION, REPORT, ALIGNMENT, LATE_INTERACTION)
"""Every objective, in the order of their sections (`recipe.TERMS`)."""


@dataclass(frozen=True)
class Counts:
    """Numbers of things that the losses of a step are averaged over.

    Attributes:
        studies: in the step.
        terms: name of an objective -> what its `count` counts.
    """

    studies: int
    terms: Mapping[str, int]

    @classmethod
    def of(cls, batches: Sequence[Batch | PreparedBatch], objectives: ObjectivesRecipe) -> "Counts":
        """Counts of some micro-batches of one rank; they are known before the model runs."""
        terms = {each.name: sum(each.count(batch.inputs, objectives) for batch in batches) for each in OBJECTIVES}
        return cls(sum(len(batch) for batch in batches), terms)

    def reduced(self, communicator: Communicator, device: torch.device | str = "cpu") -> "Counts":
        """Counts summed over ranks; `device` is one that the communicator can send from."""
        own = torch.tensor([self.studies, *self.terms.values()], dtype=torch.int64, device=device)
        studies, *terms = (int(value) for value in communicator.sum(own).tolist())
        return Counts(studies, dict(zip(self.terms, terms, strict=True)))
