"""Beginning of zero-shot reading, retrieval and grounding: a model that reads sentences, and held-out studies."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.evaluation.classification.features_cache import FeatureKind
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.system.provenance import weights_sha256
from simcrop.compose.evaluation.common import Stop, Task, computing_device, data_for
from simcrop.compose.models import checkpoint_identity, load_aligned
from simcrop.core.data.held_out import HeldOutStudies
from simcrop.core.data.study import Study
from simcrop.core.evaluation.sentences import scoring
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ports import Tokenizer, TruthSource
from simcrop.core.reports.reader import ReportReader
from simcrop.core.training.learner import numerics


@dataclass(frozen=True, eq=False)
class LanguageTask(Task):
    """One model, and studies with reports.

    Attributes:
        model: on the device that computes, in eval mode.
        tokenizer: the model's.
    """

    model: SimCroP
    tokenizer: Tokenizer

    def reader(self, studies: Sequence[Study], source: TruthSource | None = None) -> HeldOutStudies:
        """Reads studies of either side as the model reads them.

        Args:
            studies: kept by the reader in an order of its own.
            source: of their masks, where that is not the data's.
        """
        prepared = self.data.prepared
        if source is not None:
            data = self.config.data
            prepared = PreparedVolumes(source, prepared.grid, data.prepared, data.storage)
        return HeldOutStudies(
            studies,
            volumes=prepared,
            source=source or self.data.source,
            reports=ReportReader.of(self.tokenizer, self.model.text_recipe),
            recipe=self.model.recipe,
        )

    @torch.no_grad()
    def patches(self, volumes: Tensor) -> Float[Tensor, "B N E"]:
        """Features of every patch of volumes in HU, in the space of sentences."""
        device = self.model.encoder.cls_token.device
        with numerics(device, self.config.train):
            return self.model.patch_features(volumes.to(device)).float()

    def volume_scores(
        self, names: Sequence[str], compute: Callable[[Tensor], Tensor], identity: Sequence[Any], stop: Stop
    ) -> Float[Tensor, "V F"]:
        """What is computed of the patches of each volume, on the CPU; kept, so that a stopped command goes on.

        Args:
            names: of the volumes.
            compute: [B, N, E] patches -> [B, F].
            identity: all that decides the result but volume and model; plain values.
            stop: asked after every batch.

        Raises:
            DataError: a volume is damaged.
            Stopped: `stop` said so.
        """
        device = self.model.encoder.cls_token.device
        key = [
            *identity,
            weights_sha256(self.model),
            self.config.train.precision,
            device.type,
            asdict(scoring(self.model)),
        ]
        kind = FeatureKind(key, lambda volumes: compute(self.patches(volumes)), self.model.recipe.volume_size)
        return self.features(names, kind, stop)


def begin_language(config: RunConfig, checkpoint: str) -> LanguageTask:
    """Load the model, and prepare the data.

    Args:
        config: names the data.
        checkpoint: what `load_model` takes.

    Raises:
        SimcropError: wrong checkpoint or data.
    """
    model, tokenizer = load_aligned(checkpoint, computing_device(config.train))
    return LanguageTask(*data_for(config, model.recipe), checkpoint_identity(checkpoint), model, tokenizer)
