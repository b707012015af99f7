"""A classifier as a learner of the training loop: its batches, its loss, and how its steps are told apart.

The same serves a linear head on a frozen encoder and a whole encoder.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Bool, Int16
from torch import Tensor
from torch.optim import Optimizer

from simcrop.core.data.augment import Augmentation, augment_boxes
from simcrop.core.evaluation.classifier import Classifier, classification_loss, layer_scale
from simcrop.core.evaluation.selection import SELECTION_ORDER
from simcrop.core.ports import Communicator
from simcrop.core.recipe import Optimisation, TrainRecipe
from simcrop.core.training.learner import numerics
from simcrop.core.training.optimization import make_optimizers


@dataclass(frozen=True, eq=False)
class LabelledBatch:
    """Boxes of prepared volumes, what each has still to undergo, and their labels; on the CPU.

    Attributes:
        volumes: the boxes, HU, one after the other.
        augmentations: one a box.
        truth: [B, C].
        study_ids: for messages.
    """

    volumes: Int16[Tensor, "..."]
    augmentations: tuple[Augmentation, ...]
    truth: Bool[Tensor, "B C"]
    study_ids: tuple[str, ...]

    def augmented(self, device: torch.device) -> Int16[Tensor, "B 1 h w d"]:
        """The volumes as the model sees them, on its device."""
        return augment_boxes(self.volumes.to(device), self.augmentations)


@dataclass(frozen=True, eq=False)
class ClassifierFit:
    """The learner of a classifier's training.

    Attributes:
        model: on the device that computes.
        optimizers: from `classifier_optimizers`.
        settings: steps, rate, and when to score and save.
        train: the `train` section, for precision.
        exclusive: every study has one class.
    """

    model: Classifier
    optimizers: tuple[Optimizer, ...]
    settings: Optimisation
    train: TrainRecipe
    exclusive: bool
    best_by: ClassVar[tuple[str, ...]] = SELECTION_ORDER

    def counts(self, batches: Sequence[LabelledBatch], communicator: Communicator) -> Sequence[int]:
        """Nothing that its losses need of other processes."""
        return ()

    def losses(
        self, batches: Sequence[LabelledBatch], *, step: int, totals: Sequence[int], communicator: Communicator
    ) -> Iterator[dict[str, Tensor]]:
        """The cross-entropy of the labels; one process, so that ranks do not matter."""
        device = self.model.head.weight.device
        for batch in batches:
            with numerics(device, self.train):
                logits = self.model(batch.augmented(device))
            loss = classification_loss(logits, batch.truth.to(device), exclusive=self.exclusive)
            yield {"loss": loss / len(batches)}


def classifier_optimizers(
    classifier: Classifier, settings: Optimisation, *, layer_decay: float
) -> tuple[Optimizer, ...]:
    """Optimizers of the layers, each at its own rate.

    Args:
        classifier: to train.
        settings: optimizer, rate of the head, decay of weights.
        layer_decay: factor of the learning rate from a block to the one below it.
    """
    depth = len(classifier.encoder.blocks)
    return make_optimizers(classifier, settings, partial(layer_scale, depth=depth, layer_decay=layer_decay))
