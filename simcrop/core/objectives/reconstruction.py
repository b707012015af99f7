"""Masked volume reconstruction (docs/method.md, section 3)."""

from jaxtyping import Float
from torch import Tensor

from simcrop.core.data.batch import Inputs
from simcrop.core.objectives.objective import Objective, Pass
from simcrop.core.ports import Communicator


def reconstruction_share(
    mse: Float[Tensor, ""], inputs: Inputs, loss: str, *, num_masked: int, communicator: Communicator
) -> Float[Tensor, ""]:
    """Share of the volume reconstruction loss.

    Args:
        mse: mean squared error over this micro-batch's masked values.
        inputs: give the number of its patches.
        loss: "masked", or "all" (paper), which counts visible values as 0: M / (L + M) times the former.
        num_masked: masked patches of the whole step over all ranks.
        communicator: gives the number of ranks.
    """
    masked, visible = inputs.ids_masked.numel(), inputs.ids_keep.numel()
    share = mse * (masked * communicator.world_size / max(1, num_masked))
    return share if loss == "masked" else share * (masked / max(1, masked + visible))


def _share(step: Pass, num_masked: int) -> Float[Tensor, ""]:
    recipe, inputs = step.objectives.reconstruction, step.batch.inputs
    mse = step.ops.masked_patch_mse(
        step.predicted_patches(),
        step.batch.volume,
        inputs.ids_masked,
        patch_size=step.model.patch_size,
        window=step.model.window,
        normalize_patches=recipe.target == "patch_norm",
    )
    return reconstruction_share(mse, inputs, recipe.loss, num_masked=num_masked, communicator=step.communicator)


RECONSTRUCTION = Objective("reconstruction", count=lambda inputs, _: inputs.ids_masked.numel(), share=_share)
