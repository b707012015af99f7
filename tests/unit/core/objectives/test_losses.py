"""The objectives, and what the losses of a step are divided by."""

from support.small_models import OBJECTIVES, ThreadRank, make_batch, on_ranks

from simcrop.core.objectives.losses import OBJECTIVES as EVERY_OBJECTIVE
from simcrop.core.objectives.losses import Counts
from simcrop.core.ports import SingleProcess, summed
from simcrop.core.recipe import TERMS, ObjectivesRecipe, ReportRecipe


def test_every_section_of_the_recipe_has_its_objective() -> None:
    assert tuple(objective.name for objective in EVERY_OBJECTIVE) == TERMS


def test_counts_are_of_all_micro_batches() -> None:
    batches = [make_batch([2, 0]), make_batch([3], first=2)]
    # 22 of 30 patches are masked; words 1, 3, 5, ... of 3 a sentence are masked: 3 of 6, 0, 5 of 9.
    # 8 of 30 patches are visible: the shares of two classes are known in the first study, of none in the second, and of
    # one in the third.
    terms = {"reconstruction": 66, "report": 8, "alignment": 5, "late_interaction": 5, "organ_shares": 24}
    assert Counts.of(batches, OBJECTIVES) == Counts(3, terms, longest=3)


def test_the_papers_report_loss_counts_every_position() -> None:
    objectives = ObjectivesRecipe(report=ReportRecipe(loss="all"))
    assert Counts.of([make_batch([2, 0])], objectives).terms["report"] == 2 * 8


def test_counts_are_summed_over_ranks() -> None:
    def counts(one: int, another: int) -> dict[str, int]:
        return dict(zip(TERMS, (one, another, 0, 0, 0), strict=True))

    def reduced(rank: ThreadRank) -> Counts:
        own = Counts(1 + rank.rank, counts(10, 100 * rank.rank), longest=4 - rank.rank)
        return Counts.of_row(summed(rank, own.row(rank)))

    assert on_ranks(2, reduced) == [Counts(3, counts(20, 100), longest=4)] * 2
    alone = Counts(1, counts(2, 3))
    assert Counts.of_row(alone.row(SingleProcess())) == alone
