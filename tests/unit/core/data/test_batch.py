"""Batches as they are loaded, and as the model sees them."""

import torch
from support.tiny import make_batch

from simcrop.core.data.augment import Augmentation
from simcrop.core.data.batch import Batch, PreparedBatch


def test_the_length_of_a_batch_is_its_studies() -> None:
    batch = make_batch([2, 0, 1])
    assert (len(batch), len(batch.augmented())) == (3, 3)


def test_each_volume_undergoes_its_own_augmentation() -> None:
    loaded = make_batch([1, 1])
    size = (8, 8, 8)
    still, turned = (Augmentation((0, 0, 0), size, size, flips) for flips in ((), (1,)))
    seen = PreparedBatch(loaded.volume, (still, turned), loaded.inputs).augmented()
    assert isinstance(seen, Batch)
    assert torch.equal(seen.volume, torch.stack([loaded.volume[0], loaded.volume[1].flip(2)]))
    assert seen.inputs is loaded.inputs
