"""Baselines of the kernels: the five operations as people write them in PyTorch today.

All take and return what the operation does, for fp32, bf16 and fp16 alike; each that competes passes the same
correctness gate.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from static_graphs import Backend, Static
from torch import Tensor

from simcrop.core.model.patches import apply_window, patch_view, patchify
from simcrop.core.ops import PatchSize, TopK, Window, Windows, as_windows
from simcrop.kernels.patch_gather import gather_patches

Implementation = Callable[..., object]


def _windowed(values: Tensor, weight: Tensor, window: Windows | None, *, dim: int = 1) -> Tensor:
    """Values under each window, beside each other along an axis."""
    scaled = [apply_window(values, each).to(weight.dtype) for each in as_windows(window) or (None,)]
    return scaled[0] if len(scaled) == 1 else torch.cat(scaled, dim)


def visible_patches(volume: Tensor, ids: Tensor, patch_size: PatchSize) -> Tensor:
    """[B, K, P] values of the patches, copied from a permuted view."""
    view = patch_view(volume, patch_size)
    gw, gd = view.shape[2], view.shape[3]
    study = torch.arange(len(ids), device=ids.device)[:, None]
    return view[study, ids // (gw * gd), ids // gd % gw, ids % gd].flatten(2)


def embed_conv3d(
    volume: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pos_embed: Tensor,
    ids_keep: Tensor,
    *,
    patch_size: PatchSize,
    window: Windows | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Conv3d over every patch, then gather the visible ones: MAE's and MONAI's way."""
    voxels = _windowed(volume, weight, window).contiguous(memory_format=memory_format)
    tokens = F.conv3d(voxels, weight, bias, stride=patch_size).flatten(2).transpose(1, 2) + pos_embed
    return tokens.gather(1, ids_keep[..., None].expand(-1, -1, tokens.shape[2]))


def embed_patchify(
    volume: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pos_embed: Tensor,
    ids_keep: Tensor,
    *,
    patch_size: PatchSize,
    window: Windows | None = None,
) -> Tensor:
    """Patchify everything, index, F.linear."""
    patches = patchify(_windowed(volume, weight, window), patch_size)
    visible = patches.gather(1, ids_keep[..., None].expand(-1, -1, patches.shape[2]))
    return F.linear(visible, weight.flatten(1), bias) + pos_embed[ids_keep]


def embed_index_view(
    volume: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pos_embed: Tensor,
    ids_keep: Tensor,
    *,
    patch_size: PatchSize,
    window: Windows | None = None,
) -> Tensor:
    """Index a permuted view, so that only visible patches are copied; F.linear."""
    visible = visible_patches(volume, ids_keep, patch_size)
    return F.linear(_windowed(visible, weight, window, dim=2), weight.flatten(1), bias) + pos_embed[ids_keep]


def embed_gather_kernel(
    volume: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pos_embed: Tensor,
    ids_keep: Tensor,
    *,
    patch_size: PatchSize,
    window: Windows | None = None,
) -> Tensor:
    """Our kernel that gathers the visible patches under one window or several, then F.linear."""
    rows = gather_patches(volume, ids_keep, patch_size=patch_size, windows=as_windows(window), dtype=weight.dtype)
    return F.linear(rows.view(*ids_keep.shape, -1), weight.flatten(1), bias) + pos_embed[ids_keep]


def topk_usual(sentences: Tensor, patches: Tensor, *, k: int, sentence_mask: Tensor | None = None) -> TopK:
    """normalize, bmm, topk, gather, mean."""
    cosines = F.normalize(sentences.float(), dim=2) @ F.normalize(patches.float(), dim=2).transpose(1, 2)
    return _chosen(cosines, patches, k, sentence_mask)


def topk_scaled(sentences: Tensor, patches: Tensor, *, k: int, sentence_mask: Tensor | None = None) -> TopK:
    """The product of unnormalised rows in their own dtype, scaled by the inverse norms."""
    cosines = (sentences @ patches.transpose(1, 2)).float()
    cosines = cosines / _norm(sentences)[..., None] / _norm(patches)[:, None]
    return _chosen(cosines, patches, k, sentence_mask)


def topk_one_hot(sentences: Tensor, patches: Tensor, *, k: int, sentence_mask: Tensor | None = None) -> TopK:
    """The mean as a product with a matrix of ones at the winners."""
    cosines = (sentences @ patches.transpose(1, 2)).float()
    cosines = cosines / _norm(sentences)[..., None] / _norm(patches)[:, None]
    scores, indices = cosines.topk(k, dim=2)
    chosen = torch.zeros_like(cosines, dtype=patches.dtype).scatter_(2, indices, 1.0)
    return _hide(TopK(((chosen @ patches) / k).to(patches.dtype), scores, indices), sentence_mask)


def topk_fp32_out(sentences: Tensor, patches: Tensor, *, k: int, sentence_mask: Tensor | None = None) -> TopK:
    """The product of unnormalised rows kept in fp32, as cuBLAS can give it; it has no backward pass."""
    cosines = torch.bmm(sentences, patches.transpose(1, 2), out_dtype=torch.float32)
    cosines = cosines / _norm(sentences)[..., None] / _norm(patches)[:, None]
    return _chosen(cosines, patches, k, sentence_mask)


def _norm(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=2, dtype=torch.float32).clamp_min(1e-12)


def _chosen(cosines: Tensor, patches: Tensor, k: int, sentence_mask: Tensor | None) -> TopK:
    scores, indices = cosines.topk(k, dim=2)
    B, S, _ = indices.shape
    rows = indices.flatten(1)[..., None].expand(-1, -1, patches.shape[2])
    return _hide(TopK(patches.gather(1, rows).view(B, S, k, -1).mean(2), scores, indices), sentence_mask)


def _hide(result: TopK, sentence_mask: Tensor | None) -> TopK:
    if sentence_mask is None:
        return result
    return TopK(*(value.masked_fill(~sentence_mask[..., None], 0) for value in result))


def scores_whole(sentences: Tensor, patches: Tensor, *, k: int, sentence_mask: Tensor | None = None) -> Tensor:
    """One product of all sentences with all patches, then topk."""
    rows = F.normalize(sentences, dim=2).flatten(0, 1)
    cosines = torch.einsum("re,vne->rvn", rows, F.normalize(patches, dim=2))
    scores = cosines.topk(k, dim=2).values.float().mean(2).view(*sentences.shape[:2], -1).transpose(1, 2)
    return scores if sentence_mask is None else scores.masked_fill(~sentence_mask[:, None], 0.0)


def scores_chunked(sentences: Tensor, patches: Tensor, *, k: int, sentence_mask: Tensor | None = None) -> Tensor:
    """The same for four volumes at a time."""
    parts = [scores_whole(sentences, some, k=k, sentence_mask=sentence_mask) for some in patches.split(4)]
    return torch.cat(parts, 1)


def soft_whole(
    sentences: Tensor, patches: Tensor, *, temperature: float, sentence_mask: Tensor | None = None
) -> Tensor:
    """One product of all sentences with all patches, then logsumexp."""
    rows = F.normalize(sentences, dim=2).flatten(0, 1)
    cosines = torch.einsum("re,vne->rvn", rows, F.normalize(patches, dim=2)).float()
    cosines = cosines.masked_fill(~patches.any(2), -1.0)
    sums = (cosines / temperature).logsumexp(2) - math.log(patches.shape[1])
    scores = (temperature * sums).view(*sentences.shape[:2], -1).transpose(1, 2)
    return scores if sentence_mask is None else scores.masked_fill(~sentence_mask[:, None], 0.0)


def soft_chunked(
    sentences: Tensor, patches: Tensor, *, temperature: float, sentence_mask: Tensor | None = None
) -> Tensor:
    """The same for four volumes at a time."""
    parts = [
        soft_whole(sentences, some, temperature=temperature, sentence_mask=sentence_mask) for some in patches.split(4)
    ]
    return torch.cat(parts, 1)


def mse_all(
    pred: Tensor,
    volume: Tensor,
    ids_masked: Tensor,
    *,
    patch_size: PatchSize,
    window: Window | None = None,
    normalize_patches: bool = False,
) -> Tensor:
    """MAE's way: patchify and normalise everything, then pick what is masked."""
    target = _standardized(patchify(apply_window(volume, window), patch_size), normalize_patches)
    return F.mse_loss(pred.float(), target.gather(1, ids_masked[..., None].expand(-1, -1, target.shape[2])))


def mse_masked(
    pred: Tensor,
    volume: Tensor,
    ids_masked: Tensor,
    *,
    patch_size: PatchSize,
    window: Window | None = None,
    normalize_patches: bool = False,
) -> Tensor:
    """The same with the masked patches indexed first."""
    rows = visible_patches(volume, ids_masked, patch_size)
    return F.mse_loss(pred.float(), _standardized(apply_window(rows, window), normalize_patches))


def _standardized(patches: Tensor, normalize: bool) -> Tensor:
    if not normalize:
        return patches
    variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


EAGER: dict[str, dict[str, Implementation]] = {
    "masked_patch_embed": {
        "Conv3d, gather": embed_conv3d,
        "Conv3d channels_last, gather": partial(embed_conv3d, memory_format=torch.channels_last_3d),
        "patchify, index, linear": embed_patchify,
        "index view, linear": embed_index_view,
    },
    "sentence_patch_topk": {
        "normalize, bmm, topk, gather": topk_usual,
        "bmm, scale, topk, gather": topk_scaled,
        "bmm, scale, topk, one-hot bmm": topk_one_hot,
    },
    "sentence_volume_scores": {"matmul, topk": scores_whole, "matmul, topk, 4 volumes at a time": scores_chunked},
    "soft_volume_scores": {"matmul, logsumexp": soft_whole, "matmul, logsumexp, 4 volumes at a time": soft_chunked},
    "masked_patch_mse": {"patchify, normalise, index": mse_all, "index, normalise": mse_masked},
}

ON_GPU: dict[str, dict[str, Implementation]] = {
    "masked_patch_embed": {"gather kernel, linear": embed_gather_kernel},
    "sentence_patch_topk": {"bmm with fp32 output, scale, topk, gather": topk_fp32_out},
}
"""What exists on a GPU alone, beside the eager ones and what torch.compile makes of those."""
ROUNDS_COSINES = ("bmm, scale, topk, gather", "bmm, scale, topk, one-hot bmm")
"""Their product rounds the cosines to the dtype of the features. In 16 bits other patches win, which is another result:
they compete in fp32 alone, on a CPU. `topk_fp32_out` is what is left of them on a GPU."""
MODES = {"compiled": "default", "max-autotune": "max-autotune-no-cudagraphs"}
"""Of torch.compile; CUDA graphs are left to the timer, which takes them for every implementation."""


def baselines(
    op: str, device: torch.device, backend: Callable[[str], Backend]
) -> dict[str, Callable[[], Implementation]]:
    """The baselines of an operation, each made when it is wanted; on a GPU also compiled, and tuned.

    Args:
        op: the operation.
        device: to be measured on.
        backend: what compiles, in a mode of torch.compile.
    """
    if device.type != "cuda":
        return _as_they_are(EAGER[op])
    found = _as_they_are(EAGER[op] | ON_GPU.get(op, {})) | compiled(op, backend)
    return {name: make for name, make in found.items() if not name.startswith(ROUNDS_COSINES)}


def compiled(op: str, backend: Callable[[str], Backend]) -> dict[str, Callable[[], Implementation]]:
    """The eager baselines of an operation in each mode of torch.compile."""
    return {
        f"{name}, {what}": partial(Static, function, backend(mode))
        for what, mode in MODES.items()
        for name, function in EAGER[op].items()
    }


def _as_they_are(functions: Mapping[str, Implementation]) -> dict[str, Callable[[], Implementation]]:
    return {name: partial(_same, function) for name, function in functions.items()}


def _same(function: Implementation) -> Implementation:
    return function


def has_backward(name: str) -> bool:
    """Whether a baseline can be differentiated."""
    return "fp32 output" not in name
