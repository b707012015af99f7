"""The ring that workers write voxels into: the same batches, in memory that is used again and never too early."""

import itertools
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.data_folders import write_ct_rate
from support.reading_fakes import GRID, MODEL, WordTokenizer
from torch import Tensor

from simcrop.adapters.loading.batches import StudyBatches
from simcrop.adapters.loading.buffers import Ring, ahead, one_ahead, shared_room
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.core.data.batch import PreparedBatch
from simcrop.core.data.items import ItemReader, ReadingSpec
from simcrop.core.data.study import Report, Study
from simcrop.core.errors import ConfigError, DataError
from simcrop.core.recipe import AugmentRecipe, ObjectivesRecipe, TrainRecipe
from simcrop.core.reports.reader import ReportReader

pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")
STEPS = 12
WORKERS = pytest.mark.parametrize(("num_workers", "accumulate"), [(1, 1), (2, 1), (2, 3)])


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ItemReader:
    root = tmp_path_factory.mktemp("ring")
    write_ct_rate(root / "data", [study.reconstructions[0] for study in STUDIES])
    source = CTRateSource(root / "data")
    prepared = prepare(source, source.studies(), GRID, root / "cache")
    augment = AugmentRecipe(scale=(0.6, 1.3), flip=0.5, shift_probability=0.5)
    return Fatal(prepared, ReportReader(WordTokenizer(), 32), ReadingSpec(MODEL, ObjectivesRecipe(), augment, seed=0))


class Fatal(ItemReader):
    """The system ends the process that reads a study of this name."""

    def for_training(self, study: Study, epoch: int, room: Tensor) -> Any:
        if study.study_id == "fatal":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().for_training(study, epoch, room)


def _study(number: int) -> Study:
    name = f"train_{number}_a"
    return Study(name, f"p{number}", Report("The heart is normal.", ""), (f"{name}_1",))


STUDIES = [_study(number) for number in range(1, 8)]


def batches_of(
    reader: ItemReader,
    num_workers: int,
    accumulate: int = 1,
    *,
    pinned: bool = True,
    studies: Sequence[Study] = STUDIES,
) -> StudyBatches:
    recipe = TrainRecipe(batch_size=2, accumulate=accumulate)
    return StudyBatches(studies, reader, recipe, num_workers=num_workers, pin_memory=pinned)


def expected(reader: ItemReader, first_step: int, accumulate: int) -> Iterator[Sequence[PreparedBatch]]:
    return batches_of(reader, 0, accumulate, pinned=False).batches(first_step)


@WORKERS
def test_batches_by_way_of_the_ring_are_the_same(reader: ItemReader, num_workers: int, accumulate: int) -> None:
    for first_step in (0, 5):
        steps = batches_of(reader, num_workers, accumulate).batches(first_step)
        for step, others in itertools.islice(zip(steps, expected(reader, first_step, accumulate), strict=True), STEPS):
            assert len(step) == accumulate
            for batch, other in zip(step, others, strict=True):
                assert batch.study_ids == other.study_ids
                assert torch.equal(batch.volume, other.volume)
                assert torch.equal(batch.inputs.ids_keep, other.inputs.ids_keep)


@WORKERS
def test_a_room_is_used_again_but_not_while_its_step_lasts(
    reader: ItemReader, num_workers: int, accumulate: int
) -> None:
    places: set[int] = set()
    steps = batches_of(reader, num_workers, accumulate).batches(1)
    for step in itertools.islice(steps, STEPS):
        before = [batch.volume.clone() for batch in step]
        time.sleep(0.05)  # for the workers to run ahead as far as they may
        assert all(torch.equal(batch.volume, voxels) for batch, voxels in zip(step, before, strict=True))
        places |= {batch.volume.data_ptr() for batch in step}
    assert len(places) == min(STEPS * accumulate, num_workers * max(2, accumulate) + accumulate)


def test_what_a_worker_sends_has_no_voxels(reader: ItemReader) -> None:
    ring = Ring(2, 2 * reader.largest_box)
    batch = reader.training_batch(STUDIES[:2], 0, ring.room(5))
    sent = ring.detached(batch)
    assert sent.volume.numel() == 0
    (back,) = ring.attached(iter([sent]), 5)
    assert torch.equal(back.volume, batch.volume)
    assert back.volume.data_ptr() == ring.room(1).data_ptr() != ring.room(0).data_ptr()
    assert back.volume.is_shared()


def test_processes_share_a_room() -> None:
    room = shared_room(3)
    assert (room.dtype, room.shape) == (torch.int16, (3,))
    child = multiprocessing.get_context("fork").Process(target=room.fill_, args=(7,))
    child.start()
    child.join()
    assert room.tolist() == [7, 7, 7]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="the system has no limit of its own for shared memory")
def test_too_little_shared_memory_is_told_with_a_remedy() -> None:
    too_many = shutil.disk_usage("/dev/shm").total // 1000
    remedy = r"^data\.num_workers: there is no shared memory for [\d.]+ GB .*--shm-size\), write fewer, or 0$"
    with pytest.raises(ConfigError, match=remedy):
        Ring(1000, too_many)


def test_workers_end_when_a_run_stops_early(reader: ItemReader) -> None:
    steps = batches_of(reader, 2).batches(1)
    next(steps)
    assert len(multiprocessing.active_children()) == 2
    del steps
    assert not multiprocessing.active_children()


def test_a_worker_that_the_system_ends_is_told_with_a_remedy(reader: ItemReader) -> None:
    studies = [*STUDIES, replace(STUDIES[0], study_id="fatal")]
    with pytest.raises(DataError, match=r"^data\.num_workers: a data worker was ended by the system, .* or 0$"):
        for _ in itertools.islice(batches_of(reader, 2, studies=studies).batches(1), 4):
            pass


def test_on_a_cpu_no_batch_is_read_ahead_of_its_step(reader: ItemReader) -> None:
    asked: list[int] = []
    steps = ([asked.append(step) or reader.training_batch(STUDIES[:1], step)] for step in itertools.count())
    given = ahead(steps, torch.device("cpu"))
    next(given)
    next(given)
    assert asked == [0, 1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_next_step_is_copied_during_this_one(reader: ItemReader) -> None:
    device = torch.device("cuda", 0)
    steps = ahead(batches_of(reader, 2, 2).batches(1), device)
    for step, others in itertools.islice(zip(steps, expected(reader, 1, 2), strict=True), STEPS):
        for batch, other in zip(step, others, strict=True):
            assert batch.volume.device == device
            assert batch.inputs.ids_keep.device.type == "cpu"
            assert torch.equal(batch.volume.cpu(), other.volume)


def doubled(numbers: Iterator[int], log: list[object], begin: Callable[[int], int]) -> Iterator[int]:
    def finish() -> None:
        log.append("wait")

    def begun(number: int) -> int:
        log.append(number)
        return begin(number)

    return one_ahead(numbers, begun, finish)


def test_the_work_on_a_step_begins_before_the_one_before_it_is_given_and_is_over_when_more_is_asked_for() -> None:
    log: list[object] = []
    given = doubled(itertools.count(1), log, lambda number: 10 * number)
    for expected_step in (10, 20, 30):
        assert next(given) == expected_step
        log.append("step")
    assert log == [1, "wait", 2, "step", "wait", 3, "step", "wait", 4, "step"]
    del given
    assert log[-1] == "wait"


def test_damage_of_the_next_step_does_not_stop_this_one() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise DataError("v: is damaged")

    given = doubled(numbers(), [], lambda number: number)
    assert next(given) == 1
    with pytest.raises(DataError, match="damaged"):
        next(given)
