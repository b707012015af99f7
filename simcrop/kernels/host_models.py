"""Other libraries' 3D vision transformers with our patch embedding inside: MONAI's ViT, transformers' VideoMAE.

Only the forward of the host's embedding is replaced, by giving its module a class derived from its own. Parameters,
buffers, state dict and module tree stay as they are, and copies of the model (`copy.deepcopy`, averaged weights) work.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from simcrop.core.errors import InputError
from simcrop.kernels.patch_embed_module import Backend, choose, patch_size_of

Host = TypeVar("Host", bound=nn.Module)


class _MonaiPatchEmbedding:
    """monai.networks.blocks.PatchEmbeddingBlock with proj_type "conv"."""

    simcrop_backend: Backend
    patch_embeddings: Any
    position_embeddings: Any
    dropout: Any

    @staticmethod
    def convolution(block: Any) -> nn.Module:
        return block.patch_embeddings

    def forward(self, x: Tensor) -> Tensor:
        conv = self.patch_embeddings
        embed = choose(self.simcrop_backend, x.device)
        positions = self.position_embeddings[0]
        return self.dropout(embed(x, conv.weight, conv.bias, positions, None, patch_size=conv.kernel_size))


class _VideoMAEEmbedding:
    """transformers' VideoMAEEmbeddings: the visible tubelets alone are embedded, not all and then selected."""

    simcrop_backend: Backend
    patch_embeddings: Any
    position_embeddings: Any

    @staticmethod
    def convolution(block: Any) -> nn.Module:
        return block.patch_embeddings.projection

    def forward(self, pixel_values: Tensor, bool_masked_pos: Tensor | None) -> Tensor:
        conv = self.patch_embeddings.projection
        embed = choose(self.simcrop_backend, pixel_values.device)
        device = pixel_values.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else conv.weight.dtype
        positions = self.position_embeddings[0].detach().to(pixel_values.device, dtype)
        ids = None if bool_masked_pos is None else _visible(bool_masked_pos)
        volume = pixel_values.transpose(1, 2)
        return embed(volume, conv.weight, conv.bias, positions, ids, patch_size=conv.kernel_size)


_HOSTS: dict[tuple[str, str], Any] = {
    ("monai", "PatchEmbeddingBlock"): _MonaiPatchEmbedding,
    ("transformers", "VideoMAEEmbeddings"): _VideoMAEEmbedding,
}


def accelerate_(host_model: Host, *, backend: Backend = "auto") -> Host:
    """Replace the forward of a host model's 3D patch embedding, in place.

    State dict keys, parameters, outputs and gradients stay those of the host.

    Args:
        host_model: holds a MONAI PatchEmbeddingBlock or a transformers VideoMAEEmbeddings, or is one.
        backend: auto (Triton for CUDA tensors, else plain torch; says which, once), reference or triton.

    Returns:
        The same model.

    Raises:
        InputError: no such embedding inside, or its projection is not a Conv3d of patches side by side.
    """
    found = [(block, ours) for block in host_model.modules() if (ours := _ours(block)) is not None]
    if not found:
        known = ", ".join(f"{library}'s {name}" for library, name in _HOSTS)
        raise InputError(
            f"host_model: {type(host_model).__name__} holds no patch embedding that is known here ({known})"
        )
    for block, ours in found:
        conv = ours.convolution(block)
        if not isinstance(conv, nn.Conv3d):
            raise InputError(f"host_model: the patch embedding projects by {type(conv).__name__}; needs a Conv3d")
        patch_size_of(conv)
    for block, ours in found:
        kind = type(block)
        block.__class__ = type(f"Accelerated{kind.__name__}", (ours, kind), {"simcrop_backend": backend})
    return host_model


def _ours(block: nn.Module) -> Any:
    """What replaces a block, told by its class's name: neither library need be installed."""
    return _HOSTS.get((type(block).__module__.partition(".")[0], type(block).__name__))


def _visible(bool_masked_pos: Tensor) -> Tensor:
    """Ids [B, L] of the positions that are not masked.

    Raises:
        InputError: rows differ in how many they mask.
    """
    rows, ids = (~bool_masked_pos).nonzero(as_tuple=True)
    counts = torch.bincount(rows, minlength=len(bool_masked_pos))
    if len(bool_masked_pos) and not bool((counts == counts[0]).all()):
        raise InputError(f"bool_masked_pos: every row must leave equally many visible, got {counts.tolist()}")
    return ids.view(len(bool_masked_pos), -1)
