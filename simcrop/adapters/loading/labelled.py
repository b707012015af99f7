"""Volumes for classifiers: centres for prediction, augmented batches for training, by processes of their own."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Int16
from torch import Tensor
from torch.utils.data import Dataset

from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.workers import read_items
from simcrop.core.data.augment import draw_augmentation
from simcrop.core.data.study import Study
from simcrop.core.errors import SimcropError
from simcrop.core.evaluation.fitting import LabelledBatch
from simcrop.core.randomness import generator
from simcrop.core.recipe import AugmentRecipe, ModelRecipe, Size


def volume_centres(
    prepared: PreparedVolumes, names: Sequence[str], size: Size, *, batch_size: int, num_workers: int
) -> Iterator[Int16[Tensor, "B 1 H W D"]]:
    """The centres of the volumes, as evaluation sees them, in batches; the last may be smaller.

    Raises:
        DataError: a volume is damaged.
    """
    batches = [names[first : first + batch_size] for first in range(0, len(names), batch_size)]
    return read_items(_Centres(prepared, batches, size), range(len(batches)), num_workers=num_workers)


class AugmentedStudies:
    """Endless training batches: what a step reads is a function of the seed and the step alone."""

    def __init__(
        self,
        studies: Sequence[Study],
        truth: Bool[Tensor, "n C"],
        prepared: PreparedVolumes,
        *,
        model: ModelRecipe,
        augment: AugmentRecipe,
        batch_size: int,
        seed: int,
        num_workers: int,
    ) -> None:
        """
        Args:
            studies: to learn from; the first reconstruction of each is read.
            truth: their labels.
            prepared: their volumes.
            model: size and window of the volume that the encoder sees.
            augment: changes of the volumes.
            batch_size: studies of a step; an epoch leaves out the last few that fill none.
            seed: of order and changes.
            num_workers: processes that read ahead; 0 reads in this one.
        """
        self._studies, self._truth, self._prepared = studies, truth, prepared
        self._model, self._augment, self._seed, self._num_workers = model, augment, seed, num_workers
        self._batch_size = min(batch_size, len(studies))

    @property
    def steps_per_epoch(self) -> int:
        """Steps after which every study, or nearly so, was read once more."""
        return len(self._studies) // self._batch_size

    def batches(self, first_step: int, last_step: int) -> Iterator[LabelledBatch]:
        """The batches of the steps; the first of a fit is step 1."""
        return read_items(_Steps(self), range(first_step, last_step + 1), num_workers=self._num_workers)

    def read(self, step: int) -> LabelledBatch:
        """The batch of a step."""
        epoch, number = divmod(step - 1, self.steps_per_epoch)
        order = torch.randperm(len(self._studies), generator=generator(self._seed, "fit order", epoch))
        chosen = order[number * self._batch_size : (number + 1) * self._batch_size]
        studies = [self._studies[index] for index in chosen.tolist()]
        return LabelledBatch(
            volumes=torch.stack([self._prepared.read(study.reconstructions[0]) for study in studies]),
            augmentations=tuple(
                draw_augmentation(
                    self._augment,
                    prepared_size=self._prepared.grid.size,
                    volume_size=self._model.volume_size,
                    window=self._model.window,
                    generator=generator(self._seed, "fit augment", epoch, study.study_id),
                )
                for study in studies
            ),
            truth=self._truth[chosen],
            study_ids=tuple(study.study_id for study in studies),
        )


class _Centres(Dataset[Tensor | SimcropError]):
    """Batch number -> volumes. An error for the user is returned, since torch would wrap a raised one."""

    def __init__(self, prepared: PreparedVolumes, batches: Sequence[Sequence[str]], size: Size) -> None:
        self._prepared, self._batches, self._size = prepared, batches, size

    def __getitem__(self, number: int) -> Tensor | SimcropError:
        try:
            return torch.stack([self._prepared.read_centre(name, self._size) for name in self._batches[number]])[
                :, None
            ]
        except SimcropError as error:
            return error


class _Steps(Dataset[LabelledBatch | SimcropError]):
    """Step -> batch, or an error for the user."""

    def __init__(self, studies: AugmentedStudies) -> None:
        self._studies = studies

    def __getitem__(self, step: int) -> LabelledBatch | SimcropError:
        try:
            return self._studies.read(step)
        except SimcropError as error:
            return error
