"""A segmentation network as a learner of the training loop (docs/method.md, section 9)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from torch import Tensor
from torch.optim import Optimizer

from simcrop.adapters.evaluation.segmentation.crops import Regions
from simcrop.adapters.evaluation.segmentation.monai_parts import DiceCELoss
from simcrop.adapters.evaluation.segmentation.unetr import UNETR
from simcrop.core.evaluation.segment_settings import SegmentSettings
from simcrop.core.ports import Communicator
from simcrop.core.recipe import TrainRecipe
from simcrop.core.training.learner import numerics
from simcrop.core.training.optimization import make_optimizers


@dataclass(frozen=True, eq=False)
class SegmenterFit:
    """The learner of a segmentation network's training.

    Attributes:
        model: on the device that computes.
        optimizers: from `segmenter_optimizers`.
        settings: the `segment` section.
        train: the `train` section, for precision.
    """

    model: UNETR
    optimizers: tuple[Optimizer, ...]
    settings: SegmentSettings
    train: TrainRecipe
    best_by: ClassVar[tuple[str, ...]] = ("selection_dice",)

    def counts(self, batches: Sequence[Regions], communicator: Communicator) -> Sequence[int]:
        """Nothing that its losses need of other processes."""
        return ()

    def losses(
        self, batches: Sequence[Regions], *, step: int, totals: Sequence[int], communicator: Communicator
    ) -> Iterator[dict[str, Tensor]]:
        """Dice and cross-entropy of the voxels; one process, so that ranks do not matter."""
        device = self.model.positions.device
        for regions in batches:
            with numerics(device, self.train):
                scores = self.model(regions.voxels.to(device))
            yield {"loss": self._loss(scores.float(), regions.classes.to(device)) / len(batches)}

    @cached_property
    def _loss(self) -> DiceCELoss:
        numerator, denominator = self.settings.dice_smoothing
        return DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True, smooth_nr=numerator, smooth_dr=denominator)


def segmenter_optimizers(network: UNETR, settings: SegmentSettings) -> tuple[Optimizer, ...]:
    """One learning rate for the encoder, and one for the rest."""
    encoder_scale = 1.0 if settings.encoder_lr is None else settings.encoder_lr / settings.lr
    return make_optimizers(network, settings, lambda name: encoder_scale if name.startswith("encoder.") else 1.0)
