"""Read batches, of reports or labels: what a position holds depends on it alone, not on how it was reached.

So a run resumed at any step, with any number of data workers, reads the same batches.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial

import torch
from jaxtyping import Bool, Int16
from torch import Tensor
from torch.utils.data import get_worker_info

from simcrop.adapters.loading.buffers import Ring, shared_room
from simcrop.adapters.loading.packed import PackedStudies
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.workers import read_items
from simcrop.core.data.augment import Augmenter, boxes_of
from simcrop.core.data.batch import Batch, PreparedBatch
from simcrop.core.data.items import ItemReader, collate
from simcrop.core.data.study import Study
from simcrop.core.errors import ConfigError
from simcrop.core.evaluation.fitting import LabelledBatch
from simcrop.core.randomness import shuffled
from simcrop.core.recipe import Size, TrainRecipe
from simcrop.core.recipe.section import require

Position = tuple[int, tuple[int, ...]]
"""One micro-batch of one rank: its epoch and the indices of its studies."""


@dataclass(frozen=True, eq=False)
class StudyBatches:
    """The training batches of one rank.

    An epoch is a shuffled order of all studies, without the last few that fill no micro-batch of all ranks. A
    micro-batch of all ranks together holds what one process with `world_size` times the batch size would take; rank r
    reads the r-th part. The micro-batches of a step follow each other, and may lie in two epochs. With a global batch
    they never do: an epoch leaves out the last few that fill no step, so that any number of ranks takes the same.

    Attributes:
        studies: the training studies.
        reader: reads them; its seed is the order's too.
        train: batch_size, accumulate, global_batch and fixed_draws are read.
        rank: of this process.
        world_size: number of ranks.
        num_workers: processes that load batches; 0 loads in this one.
        pin_memory: page-locked batches, for a GPU. Those that workers read share memory: their voxels stay until the
            step after theirs is asked for.
        epoch_multiple: studies of which an epoch holds a multiple, where a run was begun with other micro-batches.

    Raises:
        ConfigError: if the studies do not fill one micro-batch of all ranks, or the global batch, or if that does not
            divide.
    """

    studies: Sequence[Study]
    reader: ItemReader
    train: TrainRecipe
    _: KW_ONLY
    rank: int = 0
    world_size: int = 1
    num_workers: int = 0
    pin_memory: bool = False
    epoch_multiple: int | None = None

    def __post_init__(self) -> None:
        num_studies, size = len(self.studies), self.train.batch_size
        if num_studies < self.world_size * size:
            ranks = f"{self.world_size} ranks of " if self.world_size > 1 else ""
            raise ConfigError(
                f"train.batch_size: {ranks}{size} are more than the {num_studies} training studies; "
                f"write at most {num_studies // self.world_size}"
            )
        whole, micro_batch = self.train.global_batch, self.world_size * size
        self.train.micro_batches(self.world_size)
        require(
            (self.epoch_multiple or size) % size == 0,
            f"train.batch_size: {size} does not divide the {self.epoch_multiple} studies of which this run's epochs "
            f"are multiples; write one that does",
        )
        if whole is not None and num_studies < (self.epoch_multiple or whole):
            raise ConfigError(
                f"train.global_batch: {whole} are more than the {num_studies} training studies; "
                f"write at most {num_studies // micro_batch * micro_batch}"
            )

    def batches(self, first_step: int) -> Iterator[Sequence[PreparedBatch]]:
        """The micro-batches of steps `first_step`, `first_step` + 1, ..., endless; the first step of a run is 1.

        Raises:
            DataError: at a damaged volume, or if a data worker was ended by the system.
        """
        accumulate = self.train.micro_batches(self.world_size)
        first = (first_step - 1) * accumulate
        prefetch = max(2, accumulate)
        ring = None
        if self.pin_memory and self.num_workers:
            # Workers are asked for so many batches ahead, and a step holds its own.
            ring = Ring(self.num_workers * prefetch + accumulate, self.train.batch_size * self.reader.largest_box)
        read = read_items(
            partial(_batch_at, PackedStudies(self.studies), self.reader, self.train.fixed_draws, ring),
            ((number, self.position(number)) for number in itertools.count(first)),
            num_workers=self.num_workers,
            prefetch_factor=prefetch,
            pin_memory=self.pin_memory,
        )
        if ring is not None:
            read = ring.attached(read, first)
        while True:
            yield list(itertools.islice(read, accumulate))

    def position(self, micro_batch: int) -> Position:
        """Studies that this rank reads as the given micro-batch of the run."""
        size = self.train.batch_size
        multiple = self.epoch_multiple or self.train.epoch_multiple(self.world_size)
        # Counted in studies, so that ranks and micro-batches may divide an update as they like.
        epoch, first = divmod(
            (micro_batch * self.world_size + self.rank) * size, len(self.studies) // multiple * multiple
        )
        order = shuffled(len(self.studies), self.reader.spec.seed, "order", epoch)
        return epoch, tuple(order[first : first + size].tolist())


@dataclass(frozen=True, eq=False)
class HeldOutBatches:
    """One rank's share of the held-out studies in batches that never change, read whenever they are gone through.

    Each batch holds the centres of the volumes, under fixed masks; the last of all may be smaller.

    Attributes:
        studies: the held-out studies.
        reader: reads them.
        batch_size: studies of a batch.
        rank: of this process: every `world_size`-th batch is its own.
        world_size: number of ranks.
    """

    studies: Sequence[Study]
    reader: ItemReader
    batch_size: int
    _: KW_ONLY
    rank: int = 0
    world_size: int = 1

    def __len__(self) -> int:
        return len(self._firsts)

    def __iter__(self) -> Iterator[Batch]:
        for first in self._firsts:
            studies = self.studies[first : first + self.batch_size]
            items = [self.reader.for_evaluation(study) for study in studies]
            yield collate(items, pad_id=self.reader.pad_id, padding=self.reader.spec.padding)

    @property
    def _firsts(self) -> range:
        return range(self.rank * self.batch_size, len(self.studies), self.world_size * self.batch_size)


def _batch_at(
    studies: PackedStudies, reader: ItemReader, fixed_draws: bool, ring: Ring | None, key: tuple[int, Position]
) -> PreparedBatch:
    """The training batch of a number and its position; where there is a ring, its voxels are there."""
    number, (epoch, indices) = key
    chosen, draws = [studies[index] for index in indices], 0 if fixed_draws else epoch
    if ring is not None:
        return ring.detached(reader.training_batch(chosen, draws, ring.room(number)))
    num_values = len(chosen) * reader.largest_box
    return reader.training_batch(chosen, draws, shared_room(num_values) if get_worker_info() else None)


def volume_centres(
    prepared: PreparedVolumes, names: Sequence[str], size: Size, *, batch_size: int, num_workers: int
) -> Iterator[Int16[Tensor, "B 1 H W D"]]:
    """The centres of the volumes, as evaluation sees them, in batches; the last may be smaller.

    Raises:
        DataError: a volume is damaged.
    """
    batches = [names[first : first + batch_size] for first in range(0, len(names), batch_size)]
    return read_items(partial(_centres, prepared, size), batches, num_workers=num_workers)


def _centres(prepared: PreparedVolumes, size: Size, names: Sequence[str]) -> Int16[Tensor, "B 1 H W D"]:
    return torch.stack([prepared.read_centre(name, size) for name in names])[:, None]


@dataclass(frozen=True, eq=False)
class AugmentedStudies:
    """Endless training batches: what a step reads is a function of the seed and the step alone.

    Attributes:
        studies: to learn from; the first reconstruction of each is read.
        truth: their labels.
        prepared: their volumes.
        augmenter: draws their changes; its seed is the order's too.
        batch_size: studies of a step, at most all; an epoch leaves out the last few that fill none.
        num_workers: processes that read ahead; 0 reads in this one.
    """

    studies: Sequence[Study]
    truth: Bool[Tensor, "n C"]
    prepared: PreparedVolumes
    augmenter: Augmenter
    _: KW_ONLY
    batch_size: int
    num_workers: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps after which every study, or nearly so, was read once more."""
        return len(self.studies) // self._size

    @property
    def _size(self) -> int:
        return min(self.batch_size, len(self.studies))

    def batches(self, first_step: int, last_step: int) -> Iterator[LabelledBatch]:
        """The batches of the steps; the first of a fit is step 1."""
        return read_items(self.read, range(first_step, last_step + 1), num_workers=self.num_workers)

    def read(self, step: int) -> LabelledBatch:
        """The batch of a step."""
        epoch, number = divmod(step - 1, self.steps_per_epoch)
        order = shuffled(len(self.studies), self.augmenter.seed, "fit order", epoch)
        chosen = order[number * self._size : (number + 1) * self._size]
        studies = [self.studies[index] for index in chosen.tolist()]
        size = self.prepared.size
        drawn = tuple(self.augmenter.draw(size, "fit augment", epoch, study.study_id) for study in studies)
        volumes = torch.empty(sum(math.prod(each.size) for each in drawn), dtype=torch.int16)
        for study, each, box in zip(studies, drawn, boxes_of(volumes, drawn), strict=True):
            self.prepared.read_box(study.reconstructions[0], each.start, box, pad=each.pad)
        return LabelledBatch(
            volumes=volumes,
            augmentations=drawn,
            truth=self.truth[chosen],
            study_ids=tuple(study.study_id for study in studies),
        )
