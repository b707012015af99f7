"""Augmentation of a whole volume in memory, as the model sees it."""

from torch import Tensor

from simcrop.core.data.augment import Augmentation, augment_box, crop


def apply_augmentation(voxels: Tensor, augmentation: Augmentation) -> Tensor:
    """The box, cut and augmented."""
    return augment_box(crop(voxels, augmentation.start, augmentation.size, pad=augmentation.pad), augmentation)
