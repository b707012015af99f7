"""Ranks compare facts: equal ones pass, and a difference is told with its values and their ranks, on every rank."""

from collections.abc import Sequence

import pytest
from support.small_models import ThreadRank, on_ranks

from simcrop.core.errors import RanksError
from simcrop.core.ports import SingleProcess
from simcrop.core.training.agreement import agree, differing

REMEDY = "start every rank with the same configuration"


def refusals(*facts: dict[str, object]) -> Sequence[str]:
    def compare(rank: ThreadRank) -> str:
        try:
            agree(rank, facts[rank.rank], remedy=REMEDY)
        except RanksError as error:
            return str(error)
        return ""

    return on_ranks(len(facts), compare)


def test_equal_facts_pass() -> None:
    assert refusals({"a": 1, "b": [1.5, None]}, {"b": [1.5, None], "a": 1}) == ["", ""]
    agree(SingleProcess(), {"a": 1}, remedy=REMEDY)


def test_every_rank_is_told_what_differs_on_which() -> None:
    told = refusals({"seed": 0, "train.lr": 0.1}, {"seed": 0, "train.lr": 0.2}, {"seed": 0, "train.lr": 0.1})
    assert told == [f"train.lr: 0.1 on rank 0, 2, 0.2 on rank 1; {REMEDY}"] * 3


def test_a_fact_that_a_rank_lacks_is_a_difference() -> None:
    assert refusals({}, {"new": True}) == [f"new: None on rank 0, True on rank 1; {REMEDY}"] * 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1] * 7 + [2], "1 on rank 0, 1, 2, 3 and 3 more, 2 on rank 7"),
        (["x" * 200, "y"], f"{'x' * 80} on rank 0, y on rank 1"),
        ([*range(9)], "0 on rank 0, 1 on rank 1, 2 on rank 2, 3 on rank 3"),
    ],
)
def test_many_ranks_and_long_values_stay_one_line(values: list[object], words: str) -> None:
    assert differing(values) == words
