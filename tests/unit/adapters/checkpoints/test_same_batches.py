"""A run may go on with other processes where its updates stay; a loss that changes all the same is told."""

from pathlib import Path
from typing import Any

import pytest

from simcrop.adapters.checkpoints.folder import Checkpoint
from simcrop.adapters.checkpoints.same_batches import batches_of, changed_comparisons, epoch_multiple_of
from simcrop.adapters.config.run import RunConfig
from simcrop.core.errors import CheckpointError
from simcrop.core.recipe import AlignmentRecipe, LateInteractionRecipe, ObjectivesRecipe, TrainRecipe


def run(*, alignment: Any = "report", late_interaction: float = 0.0, **train: Any) -> RunConfig:
    objectives = ObjectivesRecipe(
        alignment=AlignmentRecipe(negatives=alignment),
        late_interaction=LateInteractionRecipe(weight=late_interaction),
    )
    return RunConfig(train=TrainRecipe(**train), objectives=objectives)


def begun(config: RunConfig, num_processes: int) -> Checkpoint:
    return Checkpoint(Path("run/step_00000003"), 3, {"batches": batches_of(config, num_processes)}, 1)


OLDER = Checkpoint(Path("run/step_00000003"), 3, {}, 1)


@pytest.mark.parametrize(
    ("config", "num_processes"),
    [
        (run(batch_size=2, accumulate=2), 1),
        (run(batch_size=1, accumulate=1), 4),
        (run(batch_size=1, global_batch=4), 2),
    ],
)
def test_as_many_studies_an_update_keep_the_order_on_other_processes(config: RunConfig, num_processes: int) -> None:
    for start in (begun(run(batch_size=2), 2), begun(run(batch_size=1, global_batch=4), 1)):
        assert epoch_multiple_of(start, config, num_processes) == 4
        assert list(changed_comparisons(start, config, num_processes)) == []


def test_updates_of_other_sizes_are_refused_by_name() -> None:
    message = (
        r"^train.global_batch: updates of 6 studies \(train.batch_size 2, micro-batches 3, processes 1\) differ from "
        r"those of 4 in run/step_00000003; write train.global_batch: 4 and no train.accumulate, or train anew"
    )
    with pytest.raises(CheckpointError, match=message):
        epoch_multiple_of(begun(run(batch_size=2), 2), run(batch_size=2, accumulate=3), 1)


def test_a_fresh_run_and_one_whose_checkpoints_do_not_say_take_their_own() -> None:
    config = run(batch_size=2, accumulate=3, late_interaction=1.0)
    assert epoch_multiple_of(None, config, 2) == epoch_multiple_of(OLDER, config, 2) == 4
    assert epoch_multiple_of(None, run(batch_size=2, global_batch=12), 3) == 12
    assert [*changed_comparisons(None, config, 2), *changed_comparisons(OLDER, config, 2)] == []


@pytest.mark.parametrize(
    ("objectives", "told"),
    [
        ({}, []),
        ({"alignment": "batch"}, []),
        ({"alignment": "global"}, ["objectives.alignment: compares 2 studies at a time, and 4 in run/step_00000003"]),
        ({"late_interaction": 1.0}, ["objectives.late_interaction: compares 2 studies at a time, and 4 in run/step_"]),
    ],
)
def test_a_loss_over_fewer_studies_is_told(objectives: dict[str, Any], told: list[str]) -> None:
    start = begun(run(batch_size=2, **objectives), 2)
    found = list(changed_comparisons(start, run(batch_size=2, accumulate=2, **objectives), 1))
    assert [line.startswith(begin) for line, begin in zip(found, told, strict=True)] == [True] * len(told)


@pytest.mark.parametrize("objectives", [{}, {"alignment": "global"}, {"late_interaction": 1.0}])
def test_a_larger_micro_batch_in_place_of_ranks_changes_no_loss(objectives: dict[str, Any]) -> None:
    start = begun(run(batch_size=2, **objectives), 2)
    assert list(changed_comparisons(start, run(batch_size=4, **objectives), 1)) == []


def test_negatives_of_a_ranks_own_micro_batch_depend_on_its_size() -> None:
    start = begun(run(batch_size=2, alignment="batch"), 2)
    (line,) = changed_comparisons(start, run(batch_size=4, alignment="batch"), 1)
    assert line.startswith("objectives.alignment: compares 4 studies at a time, and 2 in run/step_00000003; the order")
    end = "another train.batch_size keeps it (4 on each of 1 processes now), or from the beginning train.contrast: step"
    assert line.endswith(end)


@pytest.mark.parametrize("batches", [{"batch_size": 2, "accumulate": 2}, {"batch_size": 1, "global_batch": 4}])
def test_a_step_that_is_compared_as_a_whole_keeps_its_losses_in_any_micro_batches(batches: dict[str, int]) -> None:
    compared: dict[str, Any] = {"alignment": "global", "late_interaction": 1.0}
    start = begun(run(batch_size=2, contrast="step", **compared), 2)
    assert list(changed_comparisons(start, run(contrast="step", **compared, **batches), 1)) == []
    apart = run(batch_size=2, accumulate=2, **compared)
    assert len(list(changed_comparisons(start, apart, 1))) == 2
