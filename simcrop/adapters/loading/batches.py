"""Training and held-out batches: what a position holds depends on the position alone, not on how it was reached.

So a run resumed at any step, with any number of data workers, reads the same batches.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.workers import read_items
from simcrop.core.data.items import ItemReader, collate
from simcrop.core.data.study import Batch, Report, Study
from simcrop.core.errors import ConfigError, SimcropError
from simcrop.core.ports import FindingsFeatures, Tokenizer
from simcrop.core.randomness import generator
from simcrop.core.recipe import AugmentRecipe, ModelRecipe, ReportRecipe, TrainRecipe

Position = tuple[int, tuple[int, ...]]
"""One micro-batch of one rank: its epoch and the indices of its studies."""


class StudyBatches:
    """The training batches of one rank (port `BatchSource`).

    An epoch is a shuffled order of all studies, without the last few that fill no micro-batch of all ranks. A
    micro-batch of all ranks together holds what one process with `world_size` times the batch size would take; rank r
    reads the r-th part. The micro-batches of a step follow each other, and may lie in two epochs.
    """

    def __init__(
        self,
        studies: Sequence[Study],
        prepared: PreparedVolumes,
        tokenizer: Tokenizer,
        *,
        model: ModelRecipe,
        report: ReportRecipe,
        augment: AugmentRecipe,
        train: TrainRecipe,
        max_tokens: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        pin_memory: bool = False,
        features: FindingsFeatures | None = None,
    ) -> None:
        """
        Args:
            studies: the training studies.
            prepared: their volumes.
            tokenizer: of the text encoder.
            model: sizes, window and mask ratio.
            report: masking of the report.
            augment: changes of the volumes.
            train: batch_size, accumulate and fixed_draws are read.
            max_tokens: limit of a text, special tokens included.
            seed: the run's.
            rank: of this process.
            world_size: number of ranks.
            num_workers: processes that load batches; 0 loads in this one.
            pin_memory: page-locked batches, for a GPU.
            features: what a frozen text encoder made of the findings.

        Raises:
            ConfigError: if the studies do not fill one micro-batch of all ranks.
        """
        wanted = world_size * train.batch_size
        if len(studies) < wanted:
            ranks = f"{world_size} ranks of " if world_size > 1 else ""
            raise ConfigError(
                f"train.batch_size: {ranks}{train.batch_size} are more than the {len(studies)} training studies; "
                f"write at most {len(studies) // world_size}"
            )
        reader = ItemReader(
            prepared,
            tokenizer,
            model=model,
            report=report,
            max_tokens=max_tokens,
            seed=seed,
            augment=augment,
            features=features,
        )
        self._dataset = _TrainingBatches(studies, reader, fixed_draws=train.fixed_draws)
        self._num_studies = len(studies)
        self._train = train
        self._seed = seed
        self._rank = rank
        self._world_size = world_size
        self._num_workers = num_workers
        self._pin_memory = pin_memory

    def batches(self, first_step: int) -> Iterator[Sequence[Batch]]:
        """The micro-batches of steps `first_step`, `first_step` + 1, ..., endless; the first step of a run is 1.

        Raises:
            DataError: at a damaged volume, or if a data worker was ended by the system.
        """
        accumulate = self._train.accumulate
        first = (first_step - 1) * accumulate
        read = read_items(
            self._dataset,
            _Positions(self, first),
            num_workers=self._num_workers,
            prefetch_factor=max(2, accumulate),
            pin_memory=self._pin_memory,
        )
        step: list[Batch] = []
        for batch in read:
            step.append(batch)
            if len(step) == accumulate:
                yield step
                step = []

    def position(self, micro_batch: int) -> Position:
        """What this rank reads as the given micro-batch of the run."""
        size = self._train.batch_size
        per_epoch = self._num_studies // (self._world_size * size)
        epoch, number = divmod(micro_batch, per_epoch)
        first = (number * self._world_size + self._rank) * size
        order = torch.randperm(self._num_studies, generator=generator(self._seed, "order", epoch))
        return epoch, tuple(order[first : first + size].tolist())


class HeldOutBatches(Sequence[Batch]):
    """Held-out studies in batches that never change: centre of the volume, fixed masks. The last may be smaller."""

    def __init__(self, studies: Sequence[Study], reader: ItemReader, batch_size: int) -> None:
        """
        Args:
            studies: the held-out studies.
            reader: reads them.
            batch_size: studies of a batch.
        """
        self._studies = studies
        self._reader = reader
        self._batch_size = batch_size

    def __len__(self) -> int:
        return (len(self._studies) + self._batch_size - 1) // self._batch_size

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        studies = self._studies[number * self._batch_size : (number + 1) * self._batch_size]
        return collate([self._reader.for_evaluation(study) for study in studies], pad_id=self._reader.pad_id)


def held_out_batches(
    studies: Sequence[Study],
    prepared: PreparedVolumes,
    tokenizer: Tokenizer,
    *,
    model: ModelRecipe,
    report: ReportRecipe,
    max_tokens: int,
    seed: int,
    batch_size: int,
    features: FindingsFeatures | None = None,
) -> HeldOutBatches:
    """Batches for held-out losses, read when they are asked for; masks are functions of the seed and the study."""
    reader = ItemReader(
        prepared, tokenizer, model=model, report=report, max_tokens=max_tokens, seed=seed, features=features
    )
    return HeldOutBatches(studies, reader, batch_size)


class _TrainingBatches(Dataset[Batch | SimcropError]):
    """Maps a position to its batch. An error for the user is returned, since torch would wrap a raised one."""

    def __init__(self, studies: Sequence[Study], reader: ItemReader, *, fixed_draws: bool) -> None:
        self._studies = _PackedStudies(studies)
        self._reader = reader
        self._fixed_draws = fixed_draws

    def __getitem__(self, position: Position) -> Batch | SimcropError:
        epoch, indices = position
        draws = 0 if self._fixed_draws else epoch
        try:
            items = [self._reader.for_training(self._studies[index], draws) for index in indices]
        except SimcropError as error:
            return error
        return collate(items, pad_id=self._reader.pad_id)


class _PackedStudies:
    """Studies in two arrays: a forked worker shares them, where touching Python objects would copy their pages."""

    def __init__(self, studies: Sequence[Study]) -> None:
        rows = [json.dumps(asdict(study)).encode() for study in studies]
        self._ends = np.cumsum([len(row) for row in rows])
        self._bytes = np.frombuffer(b"".join(rows), np.uint8)

    def __getitem__(self, index: int) -> Study:
        first = self._ends[index - 1] if index else 0
        fields: dict[str, Any] = json.loads(self._bytes[first : self._ends[index]].tobytes())
        fields["report"] = Report(**fields["report"])
        fields["reconstructions"] = tuple(fields["reconstructions"])
        return Study(**fields)


class _Positions(Sampler[Position]):
    """Positions from a micro-batch on, without end."""

    def __init__(self, batches: StudyBatches, first: int) -> None:
        self._batches = batches
        self._first = first

    def __iter__(self) -> Iterator[Position]:
        number = self._first
        while True:
            yield self._batches.position(number)
            number += 1
