"""Organ shares: how much of each visible patch belongs to each organ (docs/method.md, section 11)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from simcrop.core.data.batch import Inputs
from simcrop.core.objectives.objective import Objective, Pass
from simcrop.core.ports import Communicator
from simcrop.core.recipe import ModelRecipe, ObjectivesRecipe


class OrganHead(nn.Linear):
    """The layer from the encoder's tokens to a logit for each class.

    It begins at zero, and so with a share of one half everywhere: nothing is drawn for it, and the other weights of a
    model begin the same with it as without it.
    """

    def reset_parameters(self) -> None:
        """Set all to zero."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


def organ_shares_loss(
    logits: Float[Tensor, "B L C"],
    shares: Float[Tensor, "B L C"] | None,
    *,
    num_known: int,
    communicator: Communicator,
) -> Float[Tensor, ""]:
    """This rank's share of the mean binary cross-entropy between predicted and true shares of the organs.

    Args:
        logits: of the visible patches, for each class.
        shares: of the patches' voxels that belong to each class, from 0 to 1; NaN where nothing is known. None: nothing
            is known of any scan.
        num_known: shares of the whole step over all ranks that are known; 0 gives 0.
        communicator: gives the number of ranks.

    Source: docs/method.md, section 11.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    shares = torch.full_like(logits, torch.nan) if shares is None else shares.to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(logits, shares.nan_to_num(), reduction="none")
    return losses.masked_fill(shares.isnan(), 0.0).sum() * communicator.world_size / max(1, num_known)


def num_known_shares(inputs: Inputs) -> int:
    """Number of shares in a micro-batch that are known."""
    return 0 if inputs.organ_shares is None else int((~inputs.organ_shares.isnan()).sum())


def _share(step: Pass, num_known: int) -> Float[Tensor, ""]:
    logits: Tensor = step.module(ORGAN_SHARES.name)(step.patch_tokens())
    shares = step.batch.inputs.organ_shares
    return organ_shares_loss(logits, shares, num_known=num_known, communicator=step.communicator)


def _module(objectives: ObjectivesRecipe, model: ModelRecipe, _: object) -> nn.Module:
    return OrganHead(model.embed_dim, len(objectives.organ_shares.organs))


ORGAN_SHARES = Objective("organ_shares", count=lambda inputs, _: num_known_shares(inputs), share=_share, module=_module)
