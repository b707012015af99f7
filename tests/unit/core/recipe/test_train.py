"""A global batch is divided over processes and micro-batches, or refused with the sizes that would do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcrop.core.errors import ConfigError
from simcrop.core.recipe import TrainRecipe


@pytest.mark.parametrize(("num_processes", "micro_batches"), [(1, 8), (2, 4), (4, 2), (8, 1)])
def test_a_global_batch_is_reached_on_any_number_of_processes_that_divides(
    num_processes: int, micro_batches: int
) -> None:
    recipe = TrainRecipe(global_batch=448, batch_size=56)
    assert recipe.micro_batches(num_processes) == micro_batches
    assert recipe.studies_per_update(num_processes) == 448


@given(batch_size=st.integers(1, 64), num_processes=st.integers(1, 16), micro_batches=st.integers(1, 16))
def test_what_was_multiplied_is_worked_out_again(batch_size: int, num_processes: int, micro_batches: int) -> None:
    recipe = TrainRecipe(batch_size=batch_size, global_batch=batch_size * num_processes * micro_batches)
    assert recipe.micro_batches(num_processes) == micro_batches


def test_without_a_global_batch_processes_add_up() -> None:
    assert [TrainRecipe(batch_size=4).studies_per_update(ranks) for ranks in (1, 3)] == [4, 12]
    assert [TrainRecipe(batch_size=4, accumulate=2).studies_per_update(ranks) for ranks in (1, 3)] == [8, 24]
    assert TrainRecipe(batch_size=4, accumulate=2).micro_batches(3) == 2


def refusal(global_batch: int, batch_size: int, num_processes: int) -> str:
    with pytest.raises(ConfigError) as refused:
        TrainRecipe(global_batch=global_batch, batch_size=batch_size).micro_batches(num_processes)
    return str(refused.value)


def test_what_does_not_divide_is_refused_with_the_sizes_that_would() -> None:
    assert refusal(12, 5, 1) == (
        "global_batch: 12 does not divide into micro-batches of 5 studies; "
        "write a batch_size that does: 1, 2, 3, 4, 6 or 12"
    )
    assert refusal(448, 56, 16) == (
        "train.global_batch: 448 does not divide into micro-batches of 56 studies on 16 processes; "
        "write a train.batch_size that does: 1, 2, 4, 7, 14 or 28"
    )
    assert refusal(5, 5, 5 * 5).endswith("no batch size does; take a multiple of 25, such as 25")
    assert refusal(448, 56, 3) == (
        "train.global_batch: 448 does not divide into micro-batches of 56 studies on 3 processes; "
        "no batch size does; take a multiple of 3, such as 447 or 450"
    )
    # Of many divisors those near to what was asked for.
    assert refusal(5040, 32, 1).endswith("that does: 21, 24, 28, 30, 35, 36, 40 or 42")


@pytest.mark.parametrize("accumulate", [1, 8])
def test_accumulate_beside_a_global_batch_is_refused(accumulate: int) -> None:
    with pytest.raises(ConfigError, match=rf"^accumulate: {accumulate} is given beside global_batch 448.*leave one"):
        TrainRecipe(global_batch=448, batch_size=56, accumulate=accumulate)


def test_an_epoch_holds_a_multiple_of_what_all_ranks_take_at_a_time() -> None:
    assert TrainRecipe(batch_size=4, accumulate=3).epoch_multiple(2) == 8
    assert TrainRecipe(batch_size=4, global_batch=16).epoch_multiple(2) == 16


def test_a_timeout_may_be_a_part_of_a_minute_but_not_nothing() -> None:
    assert TrainRecipe(timeout_minutes=0.1).timeout_minutes == 0.1
    with pytest.raises(ConfigError, match=r"^timeout_minutes: 0.0 is not above 0"):
        TrainRecipe(timeout_minutes=0.0)
