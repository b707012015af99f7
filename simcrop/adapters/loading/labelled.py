"""Volumes for classifiers: centres for prediction, augmented batches for training, by processes of their own."""

from collections.abc import Iterator, Sequence
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


class AugmentedStudies:
    """Endless training batches: what a step reads is a function of the seed and the step alone."""

    def __init__(
        self,
        studies: Sequence[Study],
        truth: Bool[Tensor, "n C"],
        prepared: PreparedVolumes,
        augmenter: Augmenter,
        *,
        batch_size: int,
        num_workers: int,
    ) -> None:
        """
        Args:
            studies: to learn from; the first reconstruction of each is read.
            truth: their labels.
            prepared: their volumes.
            augmenter: draws their changes; its seed is the order's too.
            batch_size: studies of a step; an epoch leaves out the last few that fill none.
            num_workers: processes that read ahead; 0 reads in this one.
        """
        self._studies, self._truth, self._prepared = studies, truth, prepared
        self._augmenter, self._num_workers = augmenter, num_workers
        self._batch_size = min(batch_size, len(studies))

    @property
    def steps_per_epoch(self) -> int:
        """Steps after which every study, or nearly so, was read once more."""
        return len(self._studies) // self._batch_size

    def batches(self, first_step: int, last_step: int) -> Iterator[LabelledBatch]:
        """The batches of the steps; the first of a fit is step 1."""
        return read_items(self.read, range(first_step, last_step + 1), num_workers=self._num_workers)

    def read(self, step: int) -> LabelledBatch:
        """The batch of a step."""
        epoch, number = divmod(step - 1, self.steps_per_epoch)
        order = torch.randperm(len(self._studies), generator=generator(self._augmenter.seed, "fit order", epoch))
        chosen = order[number * self._batch_size : (number + 1) * self._batch_size]
        studies = [self._studies[index] for index in chosen.tolist()]
        return LabelledBatch(
            volumes=torch.stack([self._prepared.read(study.reconstructions[0]) for study in studies]),
            augmentations=tuple(
                self._augmenter.draw(self._prepared.grid.size, "fit augment", epoch, study.study_id)
                for study in studies
            ),
            truth=self._truth[chosen],
            study_ids=tuple(study.study_id for study in studies),
        )
