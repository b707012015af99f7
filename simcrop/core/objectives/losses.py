"""What a step's losses are divided by, and the two reconstruction losses (docs/method.md, sections 3, 5 and 6).

A loss is normalised by counts over the whole step, that is over all ranks and micro-batches, never by a mean of means.
Each function returns this rank's share: summed over micro-batches and averaged over ranks it is the step's value.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from simcrop.core.data.study import Batch
from simcrop.core.ports import Communicator
from simcrop.core.recipe import ObjectivesRecipe, ReportRecipe


@dataclass(frozen=True)
class Counts:
    """How many things the losses of a step are averaged over."""

    studies: int
    masked_patches: int
    report_tokens: int
    sentences: int

    @classmethod
    def of(cls, batches: Sequence[Batch], objectives: ObjectivesRecipe) -> "Counts":
        """Counts of some micro-batches of one rank; they are known before the model runs."""
        return cls(
            studies=sum(len(batch) for batch in batches),
            masked_patches=sum(batch.ids_masked.numel() for batch in batches),
            report_tokens=sum(int(wanted_tokens(batch, objectives.report).sum()) for batch in batches),
            sentences=sum(int(batch.sentence_mask.sum()) for batch in batches),
        )

    def reduced(self, communicator: Communicator, device: torch.device | str = "cpu") -> "Counts":
        """Counts summed over ranks; `device` is one that the communicator can send from."""
        summed = communicator.sum(torch.tensor(astuple(self), dtype=torch.int64, device=device))
        studies, masked_patches, report_tokens, sentences = (int(value) for value in summed.tolist())
        return Counts(studies, masked_patches, report_tokens, sentences)


def wanted_tokens(batch: Batch, recipe: ReportRecipe) -> Bool[Tensor, "B R"]:
    """Positions whose token is predicted: the masked ones, or (paper) all, padding included."""
    return batch.report_masked if recipe.loss == "masked" else torch.ones_like(batch.report_masked)


def reconstruction_share(
    mse: Float[Tensor, ""], batch: Batch, loss: str, counts: Counts, communicator: Communicator
) -> Float[Tensor, ""]:
    """Share of the volume reconstruction loss.

    Args:
        mse: mean squared error over this micro-batch's masked values.
        batch: gives the number of its patches.
        loss: "masked", or "all" (paper), which counts visible values as 0: M / (L + M) times the former.
        counts: of the whole step over all ranks.
        communicator: gives the number of ranks.
    """
    num_masked = batch.ids_masked.numel()
    share = mse * (num_masked * communicator.world_size / max(1, counts.masked_patches))
    return share if loss == "masked" else share * (num_masked / max(1, num_masked + batch.ids_keep.numel()))


def report_share(
    logits: Float[Tensor, "n vocab"], targets: Int64[Tensor, "n"], counts: Counts, communicator: Communicator
) -> Float[Tensor, ""]:
    """Share of the report reconstruction loss: summed cross-entropy over the number of wanted tokens in the step."""
    total = F.cross_entropy(logits.float() if logits.dtype != torch.float64 else logits, targets, reduction="sum")
    return total * communicator.world_size / max(1, counts.report_tokens)
