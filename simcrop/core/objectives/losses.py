"""The objectives, and what the losses of a step are averaged over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simcrop.core.data.batch import Batch, PreparedBatch
from simcrop.core.objectives.alignment import ALIGNMENT
from simcrop.core.objectives.late_interaction import LATE_INTERACTION
from simcrop.core.objectives.objective import Objective
from simcrop.core.objectives.organ_shares import ORGAN_SHARES
from simcrop.core.objectives.reconstruction import RECONSTRUCTION
from simcrop.core.objectives.report import REPORT
from simcrop.core.ports import Communicator
from simcrop.core.recipe import ObjectivesRecipe

OBJECTIVES: tuple[Objective, ...] = (RECONSTRUCTION, REPORT, ALIGNMENT, LATE_INTERACTION, ORGAN_SHARES)
"""Every objective, in the order of their sections (`recipe.TERMS`)."""


@dataclass(frozen=True)
class Counts:
    """Numbers of things that the losses of a step are averaged over.

    Attributes:
        studies: in the step.
        terms: name of an objective -> what its `count` counts.
        longest: sentences that the longest report of any micro-batch has room for.
    """

    studies: int
    terms: Mapping[str, int]
    longest: int = 0

    @classmethod
    def of(cls, batches: Sequence[Batch | PreparedBatch], objectives: ObjectivesRecipe) -> "Counts":
        """Counts of some micro-batches of one rank; they are known before the model runs."""
        terms = {each.name: sum(each.count(batch.inputs, objectives) for batch in batches) for each in OBJECTIVES}
        longest = max((batch.inputs.sentence_mask.shape[1] for batch in batches), default=0)
        return cls(sum(len(batch) for batch in batches), terms, longest)

    def row(self, communicator: Communicator) -> list[int]:
        """The counts as integers whose sums over ranks `of_row` reads; each rank has a place for its longest report."""
        longest = [self.longest if rank == communicator.rank else 0 for rank in range(communicator.world_size)]
        return [self.studies, *self.terms.values(), *longest]

    @classmethod
    def of_row(cls, row: Sequence[int]) -> "Counts":
        """The counts of all ranks, from the sums of their rows."""
        studies, counted, longest = row[0], row[1 : 1 + len(OBJECTIVES)], row[1 + len(OBJECTIVES) :]
        terms = {each.name: count for each, count in zip(OBJECTIVES, counted, strict=True)}
        return cls(studies, terms, max(longest))
