"""A patch embedding of visible patches only, for any 3D vision transformer."""

import functools
import logging
from typing import Literal, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from simcrop.core.errors import InputError
from simcrop.core.model.patches import AnyVolume
from simcrop.core.ops import MaskedPatchEmbed, PatchSize, Windows, as_windows
from simcrop.core.reference import masked_patch_embed as reference
from simcrop.kernels.patch_embed import masked_patch_embed as kernel
from simcrop.kernels.support import why_not

Backend = Literal["auto", "reference", "triton"]
_log = logging.getLogger("simcrop")


class MaskedPatchEmbed3d(nn.Module):
    """Drop-in for the Conv3d of a patch embedding that embeds the patches asked for, and no others.

    Its state dict has `proj.weight` and `proj.bias`, like a patch embedding around a Conv3d called `proj`.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dim: int,
        patch_size: PatchSize,
        *,
        bias: bool = True,
        window: Windows | None = None,
        backend: Backend = "auto",
    ) -> None:
        """Make an embedding with the weights of a new Conv3d.

        Args:
            in_channels: C of the volumes.
            embed_dim: E of the tokens.
            patch_size: voxels along (H, W, D).
            bias: add one value a channel.
            window: HU range mapped to [-1, 1] while voxels are read, or several, of which each has in_channels channels
                of the weight; int16 volumes need one.
            backend: auto (Triton for CUDA tensors, else plain torch; says which, once), reference or triton.
        """
        super().__init__()
        channels = in_channels * max(1, len(as_windows(window)))
        self.proj = nn.Conv3d(channels, embed_dim, patch_size, stride=patch_size, bias=bias)
        self.window = window
        self.backend: Backend = backend

    @classmethod
    def from_conv3d(
        cls, conv: nn.Conv3d, *, window: Windows | None = None, backend: Backend = "auto"
    ) -> "MaskedPatchEmbed3d":
        """An embedding that shares the Parameters of `conv`.

        Raises:
            InputError: `conv` does more than embed patches that touch; says what.
        """
        patch_size = patch_size_of(conv)
        made = cls(1, 1, patch_size, bias=False, window=window, backend=backend)
        made.proj = conv
        return made

    def forward(
        self,
        volume: AnyVolume,
        ids_keep: Int64[Tensor, "B L"] | None = None,
        pos_embed: Float[Tensor, "N E"] | None = None,
    ) -> Float[Tensor, "B L E"]:
        """Tokens of the patches `ids_keep` (None: all in order) plus their rows of `pos_embed`.

        Raises:
            InputError: an argument that does not fit, by name.
            BackendError: backend is triton and no kernel can run here.
        """
        conv = self.proj
        embed = choose(self.backend, volume.device)
        patch_size = cast(PatchSize, conv.kernel_size)
        return embed(volume, conv.weight, conv.bias, pos_embed, ids_keep, patch_size=patch_size, window=self.window)


def patch_size_of(conv: nn.Conv3d) -> PatchSize:
    """The patch of a Conv3d that embeds patches side by side.

    Raises:
        InputError: stride, padding, dilation or groups make it something else.
    """
    wrong = [
        f"{name} {given} (must be {wanted})"
        for name, given, wanted in (
            ("stride", conv.stride, conv.kernel_size),
            ("padding", conv.padding, (0, 0, 0)),
            ("dilation", conv.dilation, (1, 1, 1)),
            ("groups", conv.groups, 1),
        )
        if given != wanted
    ]
    if wrong:
        raise InputError(f"conv: not a patch embedding: {', '.join(wrong)}")
    return cast(PatchSize, conv.kernel_size)


def choose(backend: Backend, device: torch.device) -> MaskedPatchEmbed:
    """The implementation for tensors on a device."""
    if backend != "auto":
        return kernel if backend == "triton" else reference
    reasons = why_not(device) if device.type == "cuda" else ["its tensors are on the CPU"]
    say_once(
        f"patch embedding on {device.type}: " + (f"plain torch, since {'; '.join(reasons)}" if reasons else "Triton")
    )
    return reference if reasons else kernel


@functools.cache
def say_once(message: str) -> None:
    """Log each message once in the life of this process."""
    _log.info(message)
