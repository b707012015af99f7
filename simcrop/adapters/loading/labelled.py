"""Volumes for classifiers: centres for prediction, augmented batches for training, by processes of their own."""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial

import torch
from jaxtyping import Bool, Int16
from torch import Tensor

from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.workers import read_items
from simcrop.core.data.augment import Augmenter
from simcrop.core.data.study import Study
from simcrop.core.evaluation.fitting import LabelledBatch
from simcrop.core.randomness import generator
from simcrop.core.recipe import Size


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
        order = torch.randperm(len(self.studies), generator=generator(self.augmenter.seed, "fit order", epoch))
        chosen = order[number * self._size : (number + 1) * self._size]
        studies = [self.studies[index] for index in chosen.tolist()]
        return LabelledBatch(
            volumes=torch.stack([self.prepared.read(study.reconstructions[0]) for study in studies]),
            augmentations=tuple(
                self.augmenter.draw(self.prepared.grid.size, "fit augment", epoch, study.study_id) for study in studies
            ),
            truth=self.truth[chosen],
            study_ids=tuple(study.study_id for study in studies),
        )
