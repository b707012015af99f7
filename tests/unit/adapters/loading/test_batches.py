"""Batches by position, with reports or labels: resuming, workers and ranks change nothing."""

import itertools
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from support.data_folders import write_ct_rate
from support.reading_fakes import GRID, MODEL, WordTokenizer
from torch import Tensor

from simcrop.adapters.loading.batches import AugmentedStudies, HeldOutBatches, StudyBatches, volume_centres
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.core.data.augment import Augmenter, crop, size_of
from simcrop.core.data.batch import Batch, PreparedBatch, TensorGroup
from simcrop.core.data.items import ItemReader, ReadingSpec
from simcrop.core.data.study import Report, Study
from simcrop.core.errors import ConfigError, DataError
from simcrop.core.recipe import AugmentRecipe, ModelRecipe, ObjectivesRecipe, TrainRecipe
from simcrop.core.reports.reader import ReportReader

NUM_STUDIES = 11
AUGMENT = AugmentRecipe(scale=(0.7, 1.2), flip=0.5, pad="reflect", shift_probability=0.5)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedVolumes:
    root = tmp_path_factory.mktemp("loader")
    write_ct_rate(root / "data", ["train_1_a_1", "train_2_a_1", "train_3_a_1"])
    source = CTRateSource(root / "data")
    return prepare(source, source.studies(), GRID, root / "cache")


def _studies(number: int = NUM_STUDIES) -> list[Study]:
    text = "Trachea is open. Nodule number {} in the left lung."
    return [
        Study(f"s{i}", f"p{i}", Report(text.format(i), "Well."), (f"train_{i % 3 + 1}_a_1",)) for i in range(number)
    ]


def _reader(prepared: PreparedVolumes, seed: int) -> ItemReader:
    spec = ReadingSpec(MODEL, ObjectivesRecipe(), AUGMENT, seed)
    return ItemReader(prepared, ReportReader(WordTokenizer(), 32), spec)


def _source(
    prepared: PreparedVolumes,
    *,
    batch_size: int = 2,
    accumulate: int = 1,
    fixed_draws: bool = False,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
    num_workers: int = 0,
    studies: Sequence[Study] | None = None,
    epoch_multiple: int | None = None,
) -> StudyBatches:
    return StudyBatches(
        studies or _studies(),
        _reader(prepared, seed),
        TrainRecipe(batch_size=batch_size, accumulate=accumulate, fixed_draws=fixed_draws),
        rank=rank,
        world_size=world_size,
        num_workers=num_workers,
        epoch_multiple=epoch_multiple,
    )


def _take(source: StudyBatches, first_step: int, steps: int) -> list[PreparedBatch]:
    return [batch for step in itertools.islice(source.batches(first_step), steps) for batch in step]


def _tensors(group: TensorGroup) -> Iterator[Tensor]:
    for field in fields(group):
        value = getattr(group, field.name)
        if isinstance(value, TensorGroup):
            yield from _tensors(value)
        elif isinstance(value, Tensor):
            yield value


def _same(one: Batch | PreparedBatch, other: Batch | PreparedBatch) -> bool:
    tensors = zip(_tensors(one), _tensors(other), strict=True)
    return one.inputs.study_ids == other.inputs.study_ids and all(torch.equal(a, b) for a, b in tensors)


def test_an_epoch_holds_every_study_once_but_for_the_last_few(prepared: PreparedVolumes) -> None:
    ids = [study for batch in _take(_source(prepared), 1, 10) for study in batch.inputs.study_ids]
    for epoch in (ids[:10], ids[10:]):
        assert set(Counter(epoch).values()) == {1}
    assert ids[:10] != ids[10:]


def test_the_order_depends_on_the_seed_and_the_epoch(prepared: PreparedVolumes) -> None:
    orders = [[_source(prepared, seed=seed).position(5 * e + i) for i in range(5)] for seed in (0, 1) for e in (0, 1)]
    assert len({tuple(indices for _, indices in order) for order in orders}) == 4
    assert orders[0] == [_source(prepared, seed=0).position(i) for i in range(5)]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_any_first_step_and_any_number_of_workers_read_the_same(prepared: PreparedVolumes, num_workers: int) -> None:
    whole = _take(_source(prepared), 1, 9)
    later = _take(_source(prepared, num_workers=num_workers), 4, 6)
    assert [_same(a, b) for a, b in zip(whole[3:], later, strict=True)] == [True] * 6


@pytest.mark.parametrize(("ranks", "size", "accumulate"), [(1, 4, 1), (1, 2, 2), (1, 1, 4), (4, 1, 1), (2, 1, 2)])
@pytest.mark.parametrize("steps", [range(1, 9), range(0, 1)])
def test_a_run_that_goes_on_with_other_ranks_keeps_the_order(
    prepared: PreparedVolumes, ranks: int, size: int, accumulate: int, steps: range
) -> None:
    def studies_of(step: int, sources: Sequence[StudyBatches], accumulate: int) -> list[tuple[int, int]]:
        numbers = range((step - 1) * accumulate, step * accumulate)
        positions = [source.position(number) for number in numbers for source in sources]
        return [(epoch, index) for epoch, indices in positions for index in indices]

    begun = [_source(prepared, rank=rank, world_size=2) for rank in range(2)]
    going_on = [
        _source(prepared, batch_size=size, accumulate=accumulate, rank=rank, world_size=ranks, epoch_multiple=4)
        for rank in range(ranks)
    ]
    for step in steps:
        assert studies_of(step, going_on, accumulate) == studies_of(step, begun, 1)


def test_a_micro_batch_that_would_lie_in_two_epochs_is_refused(prepared: PreparedVolumes) -> None:
    with pytest.raises(ConfigError, match=r"^train.batch_size: 3 does not divide the 4 studies of which this run's"):
        _source(prepared, batch_size=3, epoch_multiple=4)


def test_the_ranks_together_read_what_one_process_reads(prepared: PreparedVolumes) -> None:
    one = _take(_source(prepared, batch_size=4), 1, 5)
    ranks = [_take(_source(prepared, rank=rank, world_size=2), 1, 5) for rank in range(2)]
    for whole, first, second in zip(one, *ranks, strict=True):
        assert whole.inputs.study_ids == first.inputs.study_ids + second.inputs.study_ids
        assert torch.equal(whole.volume, torch.cat([first.volume, second.volume]))
        assert torch.equal(whole.inputs.ids_keep, torch.cat([first.inputs.ids_keep, second.inputs.ids_keep]))


def test_a_step_has_accumulate_micro_batches_in_the_order_of_the_run(prepared: PreparedVolumes) -> None:
    single = _take(_source(prepared), 1, 6)
    steps = list(itertools.islice(_source(prepared, accumulate=3).batches(1), 2))
    assert [len(step) for step in steps] == [3, 3]
    assert all(_same(a, b) for a, b in zip(single, itertools.chain(*steps), strict=True))
    resumed = next(iter(_source(prepared, accumulate=3).batches(2)))
    assert all(_same(a, b) for a, b in zip(steps[1], resumed, strict=True))


def _steps(prepared: PreparedVolumes, train: TrainRecipe, world_size: int) -> list[list[tuple[int, str]]]:
    """(epoch, study) of all ranks and micro-batches, by step, over the step before the first epoch and three epochs."""
    studies, reader = _studies(), _reader(prepared, 0)
    sources = [StudyBatches(studies, reader, train, rank=rank, world_size=world_size) for rank in range(world_size)]
    each = train.micro_batches(world_size)
    steps = []
    for step in range(-1, 3 * NUM_STUDIES // 4):
        read = [source.position(step * each + micro) for micro in range(each) for source in sources]
        steps.append([(epoch, studies[index].study_id) for epoch, indices in read for index in indices])
    return steps


@pytest.mark.parametrize(("batch_size", "world_size"), [(1, 1), (2, 1), (1, 2), (2, 2), (1, 4)])
def test_ranks_and_micro_batches_take_the_studies_of_the_global_batch(
    prepared: PreparedVolumes, batch_size: int, world_size: int
) -> None:
    expected = _steps(prepared, TrainRecipe(batch_size=4, global_batch=4), 1)
    assert len({epoch for step in expected for epoch, _ in step}) > 3
    assert _steps(prepared, TrainRecipe(batch_size=batch_size, global_batch=4), world_size) == expected


def test_ranks_with_a_global_batch_read_it_in_so_many_micro_batches(prepared: PreparedVolumes) -> None:
    train = TrainRecipe(batch_size=2, global_batch=8)
    for world_size, expected in ((1, 4), (2, 2), (4, 1)):
        source = StudyBatches(_studies(), _reader(prepared, 0), train, world_size=world_size)
        assert [len(step) for step in itertools.islice(source.batches(1), 2)] == [expected] * 2


def test_a_global_batch_that_cannot_be_taken_is_refused(prepared: PreparedVolumes) -> None:
    reader = _reader(prepared, 0)
    with pytest.raises(ConfigError, match=r"^train.global_batch: 12 are more than the 11 .*; write at most 8$"):
        StudyBatches(_studies(), reader, TrainRecipe(batch_size=2, global_batch=12), world_size=2)
    with pytest.raises(ConfigError, match=r"^train.global_batch: 8 does not divide .* on 3 processes"):
        StudyBatches(_studies(), reader, TrainRecipe(batch_size=2, global_batch=8), world_size=3)


def _by_study(batches: Sequence[PreparedBatch]) -> list[dict[str, Tensor]]:
    return [{study: batch.inputs.ids_keep[i] for i, study in enumerate(batch.inputs.study_ids)} for batch in batches]


@pytest.mark.parametrize("fixed", [False, True])
def test_fixed_draws_repeat_the_first_epochs(prepared: PreparedVolumes, fixed: bool) -> None:
    studies = _studies(4)
    batches = _take(_source(prepared, batch_size=4, studies=studies, fixed_draws=fixed), 1, 2)
    first, second = _by_study(batches)
    assert all(torch.equal(first[study], second[study]) for study in first) == fixed
    volumes = [dict(zip(b.inputs.study_ids, b.augmented().volume, strict=True)) for b in batches]
    assert all(torch.equal(volumes[0][study], volumes[1][study]) for study in first) == fixed


@pytest.mark.parametrize(("world_size", "message"), [(1, "12 are more than the 11"), (2, "2 ranks of 12 .* most 5")])
def test_too_few_studies_are_refused(prepared: PreparedVolumes, world_size: int, message: str) -> None:
    with pytest.raises(ConfigError, match=f"train.batch_size: {message}"):
        _source(prepared, batch_size=12, world_size=world_size)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_volume_is_named_in_one_line(prepared: PreparedVolumes, tmp_path: Path, num_workers: int) -> None:
    studies = [replace(study, reconstructions=("train_9_a_1",)) for study in _studies()]
    with pytest.raises(DataError, match=r"train_9_a_1.npy: cannot be read") as refused:
        _take(_source(prepared, studies=studies, num_workers=num_workers), 1, 1)
    assert "\n" not in str(refused.value)


class Recording(ItemReader):
    """Remembers the studies that it was given."""

    given: ClassVar[list[Study]] = []

    def for_training(self, study: Study, epoch: int, room: Tensor) -> Any:
        self.given.append(study)
        return super().for_training(study, epoch, room)


def test_studies_are_read_as_they_were_given(prepared: PreparedVolumes) -> None:
    odd = replace(
        _studies()[0], report=Report("Größe „normal“.\n", "🙂"), split="train", labels={"Emphysema": 1, "Nodule": 0}
    )
    studies = [odd, *_studies()[1:4]]
    reader = Recording(prepared, ReportReader(WordTokenizer(), 32), _reader(prepared, 0).spec)
    _take(StudyBatches(studies, reader, TrainRecipe(batch_size=4, accumulate=1)), 1, 1)
    assert sorted(reader.given, key=lambda study: study.study_id) == studies


def test_what_reads_batches_can_be_sent_to_another_process(prepared: PreparedVolumes) -> None:
    source = _source(prepared)
    again = pickle.loads(pickle.dumps(source))
    assert all(_same(a, b) for a, b in zip(_take(source, 1, 2), _take(again, 1, 2), strict=True))


def _held_out(prepared: PreparedVolumes, seed: int = 0, **ranks: int) -> HeldOutBatches:
    return HeldOutBatches(_studies(), _reader(prepared, seed), 4, **ranks)


def test_held_out_batches_never_change(prepared: PreparedVolumes) -> None:
    batches = _held_out(prepared)
    assert len(batches) == 3
    assert [len(batch) for batch in batches] == [4, 4, 3]
    assert [study for batch in batches for study in batch.inputs.study_ids] == [study.study_id for study in _studies()]
    assert all(_same(a, b) for a, b in zip(batches, _held_out(prepared), strict=True))
    assert all(_same(a, b) for a, b in zip(batches, batches, strict=True))
    first, other = (next(iter(each)) for each in (batches, _held_out(prepared, seed=1)))
    assert not torch.equal(first.inputs.ids_keep, other.inputs.ids_keep)


@pytest.mark.parametrize(("rank", "numbers"), [(0, [0, 2]), (1, [1])])
def test_every_rank_reads_its_share_of_the_held_out_batches(
    prepared: PreparedVolumes, rank: int, numbers: list[int]
) -> None:
    everything, mine = list(_held_out(prepared)), _held_out(prepared, rank=rank, world_size=2)
    assert len(mine) == len(numbers)
    assert all(_same(everything[number], batch) for number, batch in zip(numbers, mine, strict=True))


RECIPE = ModelRecipe(volume_size=(4, 4, 4), patch_size=(2, 2, 2), embed_dim=12, num_heads=1)
STUDIES = [Study(f"s{n}", f"p{n}", Report("", ""), (f"v{n}", f"other{n}")) for n in range(7)]
TRUTH = torch.arange(7)[:, None] % 2 == 0


class FewPrepared:
    """Volumes of one value each; one may be damaged."""

    size = (6, 6, 6)

    def __init__(self, damaged: str | None = None) -> None:
        self.damaged = damaged

    def read(self, name: str) -> torch.Tensor:
        if name == self.damaged:
            raise DataError(f"{name}: is damaged; delete it")
        assert name.startswith("v"), "only the first reconstruction is read"
        return torch.full(self.size, int(name[1:]), dtype=torch.int16)

    def read_box(self, name: str, start: tuple[int, int, int], box: torch.Tensor, *, pad: str) -> None:
        box.copy_(crop(self.read(name), start, size_of(box)))

    def read_centre(self, name: str, size: tuple[int, int, int]) -> torch.Tensor:
        return self.read(name)[: size[0], : size[1], : size[2]]


def studies(batch_size: int = 3, num_workers: int = 0, prepared: FewPrepared | None = None) -> AugmentedStudies:
    return AugmentedStudies(
        STUDIES,
        TRUTH,
        prepared or FewPrepared(),  # pyright: ignore[reportArgumentType]
        Augmenter(AugmentRecipe(flip=0.5), RECIPE, seed=0),
        batch_size=batch_size,
        num_workers=num_workers,
    )


def test_centres_come_in_order_and_batches() -> None:
    names = [study.reconstructions[0] for study in STUDIES]
    prepared = FewPrepared()
    batches = list(volume_centres(prepared, names, (4, 4, 4), batch_size=3, num_workers=0))  # pyright: ignore[reportArgumentType]
    assert [tuple(batch.shape) for batch in batches] == [(3, 1, 4, 4, 4), (3, 1, 4, 4, 4), (1, 1, 4, 4, 4)]
    assert torch.cat(batches)[:, 0, 0, 0, 0].tolist() == list(range(7))


def test_an_epoch_reads_every_study_once_but_for_a_rest_and_truth_goes_along() -> None:
    source = studies()
    assert source.steps_per_epoch == 2
    batches = list(source.batches(1, 8))
    assert len(batches) == 8
    for first, second in zip(batches[::2], batches[1::2], strict=True):
        ids = [*first.study_ids, *second.study_ids]
        assert len(set(ids)) == 6
    for batch in batches:
        values = batch.volumes.view(3, -1)[:, 0]
        assert [f"s{value}" for value in values.tolist()] == list(batch.study_ids)
        assert batch.truth[:, 0].tolist() == (values % 2 == 0).tolist()
        assert batch.augmented(torch.device("cpu")).shape == (3, 1, 4, 4, 4)
    assert len({batch.study_ids for batch in batches}) > 4, "the order changes from epoch to epoch"
    assert len({each for batch in batches for each in batch.augmentations}) > 8


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_step_depends_on_its_number_alone(num_workers: int) -> None:
    later = list(studies(num_workers=num_workers).batches(5, 6))
    all_of_them = list(studies().batches(1, 6))
    for batch, expected in zip(later, all_of_them[4:], strict=True):
        assert (batch.study_ids, batch.augmentations) == (expected.study_ids, expected.augmentations)
        assert torch.equal(batch.volumes, expected.volumes)


def test_fewer_studies_than_a_batch_make_a_smaller_one() -> None:
    source = studies(batch_size=50)
    assert source.steps_per_epoch == 1
    assert sorted(source.read(3).study_ids) == [f"s{n}" for n in range(7)]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_volume_is_one_line(num_workers: int) -> None:
    with pytest.raises(DataError, match=r"^v3: is damaged; delete it$"):
        list(studies(num_workers=num_workers, prepared=FewPrepared("v3")).batches(1, 6))
    with pytest.raises(DataError, match=r"^v3: is damaged"):
        list(
            volume_centres(
                FewPrepared("v3"),  # pyright: ignore[reportArgumentType]
                ["v1", "v3"],
                (4, 4, 4),
                batch_size=1,
                num_workers=num_workers,
            )
        )
