"""The operations of `simcrop.core.ops` as Triton kernels, and a patch embedding for other people's models.

The functions here never fall back: where no kernel can run they raise, with the reasons. `MaskedPatchEmbed3d` and
`accelerate_` choose by the tensors they are given, and say which they chose.
"""

from simcrop.core.ops import Ops
from simcrop.kernels.host_models import accelerate_
from simcrop.kernels.patch_embed import masked_patch_embed
from simcrop.kernels.patch_embed_module import MaskedPatchEmbed3d
from simcrop.kernels.patch_mse import masked_patch_mse
from simcrop.kernels.patch_topk import sentence_patch_topk
from simcrop.kernels.soft_scores import soft_volume_scores
from simcrop.kernels.support import why_not
from simcrop.kernels.volume_scores import sentence_volume_scores

__all__ = [
    "TRITON",
    "MaskedPatchEmbed3d",
    "accelerate_",
    "masked_patch_embed",
    "masked_patch_mse",
    "sentence_patch_topk",
    "sentence_volume_scores",
    "soft_volume_scores",
    "why_not",
]

TRITON = Ops(
    "triton", masked_patch_embed, sentence_patch_topk, sentence_volume_scores, soft_volume_scores, masked_patch_mse
)
"""The bundle of the kernels."""
