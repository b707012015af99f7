"""Check the arguments of the operations, for every implementation alike. Errors name the argument."""

from collections.abc import Sequence

import torch
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.core.model.patches import patch_grid
from simcrop.core.ops import PatchSize, Window, Windows, as_windows

MAX_K = 128
"""The most patches that a sentence may ask for."""

VOLUME_DTYPES = (torch.int16, torch.float16, torch.bfloat16, torch.float32, torch.float64)
FEATURE_DTYPES = VOLUME_DTYPES[1:]


def check_embed(
    volume: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pos_embed: Tensor | None,
    ids_keep: Tensor | None,
    *,
    patch_size: PatchSize,
    window: Windows | None,
) -> None:
    """Raise InputError where the arguments of `masked_patch_embed` do not fit together."""
    windows = as_windows(window)
    num_patches = _check_volume(volume, patch_size, windows)
    expected = (weight.shape[0], volume.shape[1] * max(1, len(windows)), *patch_size)
    if tuple(weight.shape) != expected:
        channels = f"C x {len(windows)} windows" if len(windows) > 1 else "C"
        raise InputError(
            f"weight: expected shape [E, {channels}, {patch_size}] = {expected}, got {tuple(weight.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise InputError(f"bias: expected [{weight.shape[0]}], one value a channel, got {list(bias.shape)}")
    if pos_embed is not None and tuple(pos_embed.shape) != (num_patches, weight.shape[0]):
        raise InputError(
            f"pos_embed: expected {(num_patches, weight.shape[0])}, one row a patch, got {tuple(pos_embed.shape)}"
        )
    if ids_keep is not None:
        _check_ids("ids_keep", ids_keep, volume.shape[0])
    for name, values in (("weight", weight), ("bias", bias), ("pos_embed", pos_embed)):
        _check_dtype(name, values)
    _check_device(volume, weight=weight, bias=bias, pos_embed=pos_embed, ids_keep=ids_keep)


def check_chosen(sentences: Tensor, patches: Tensor, k: int, sentence_mask: Tensor | None) -> None:
    """Raise InputError where the arguments of an operation that chooses k patches do not fit together."""
    check_pairs(sentences, patches, sentence_mask)
    if not 1 <= k <= min(patches.shape[1], MAX_K):
        raise InputError(f"k: {k} is outside 1..{min(patches.shape[1], MAX_K)} (patches: {patches.shape[1]})")


def check_soft(sentences: Tensor, patches: Tensor, temperature: float, sentence_mask: Tensor | None) -> None:
    """Raise InputError where the arguments of `soft_volume_scores` do not fit together."""
    check_pairs(sentences, patches, sentence_mask)
    if not patches.shape[1]:
        raise InputError("patches: a volume without a patch has no score")
    if not temperature > 0:
        raise InputError(f"temperature: {temperature} is not above 0")


def check_pairs(sentences: Tensor, patches: Tensor, sentence_mask: Tensor | None) -> None:
    """Raise InputError where sentences, their mask and patches do not fit together."""
    if sentences.ndim != 3:
        raise InputError(f"sentences: expected [B, S, E], got {list(sentences.shape)}")
    if patches.ndim != 3 or patches.shape[2] != sentences.shape[2]:
        raise InputError(f"patches: expected [B, N, {sentences.shape[2]}], got {list(patches.shape)}")
    if sentence_mask is not None and (sentence_mask.shape != sentences.shape[:2] or sentence_mask.dtype != torch.bool):
        raise InputError(
            f"sentence_mask: expected bool {list(sentences.shape[:2])}, "
            f"got {sentence_mask.dtype} {list(sentence_mask.shape)}"
        )
    _check_dtype("sentences", sentences)
    _check_dtype("patches", patches)
    _check_device(sentences, patches=patches, sentence_mask=sentence_mask)


def check_same_studies(sentences: Tensor, patches: Tensor) -> None:
    """Raise InputError unless sentences and patches belong to equally many studies."""
    if sentences.shape[0] != patches.shape[0]:
        raise InputError(f"sentences: {sentences.shape[0]} studies do not match the {patches.shape[0]} of patches")


def check_mse(
    pred: Tensor,
    volume: Tensor,
    ids_masked: Tensor,
    *,
    patch_size: PatchSize,
    window: Window | None,
    normalize_patches: bool,
) -> None:
    """Raise InputError where the arguments of `masked_patch_mse` do not fit together."""
    _check_volume(volume, patch_size, () if window is None else (window,))
    _check_ids("ids_masked", ids_masked, volume.shape[0])
    ph, pw, pd = patch_size
    expected = (*ids_masked.shape, volume.shape[1] * ph * pw * pd)
    if tuple(pred.shape) != expected:
        raise InputError(f"pred: expected [B, M, P] = {expected}, got {tuple(pred.shape)}")
    if normalize_patches and expected[2] == 1:
        raise InputError("normalize_patches: a patch of one value has no variance")
    _check_dtype("pred", pred)
    _check_device(volume, pred=pred, ids_masked=ids_masked)


def check_ids_in_range(name: str, ids: Tensor, num_patches: int) -> None:
    """Raise InputError if an id names no patch. Reads the values: on a GPU this waits for it."""
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < num_patches:
        raise InputError(f"{name}: values {int(ids.min())}..{int(ids.max())} are outside 0..{num_patches - 1}")


def _check_volume(volume: Tensor, patch_size: PatchSize, windows: Sequence[Window]) -> int:
    """The number of patches of a volume that can be read."""
    if volume.ndim != 5:
        raise InputError(f"volume: expected [B, C, H, W, D], got a shape of {volume.ndim} axes")
    if volume.dtype not in VOLUME_DTYPES:
        raise InputError(f"volume: {volume.dtype} is not supported; use int16 or a floating type")
    if not volume.is_floating_point() and not windows:
        raise InputError(f"window: a volume of {volume.dtype} needs one, e.g. window=(-1000, 1000)")
    for window in windows:
        if not window[0] < window[1]:
            raise InputError(f"window: expected low < high, got {window}")
    gh, gw, gd = patch_grid((volume.shape[2], volume.shape[3], volume.shape[4]), patch_size)
    return gh * gw * gd


def _check_ids(name: str, ids: Tensor, num_studies: int) -> None:
    if ids.ndim != 2 or ids.shape[0] != num_studies or ids.dtype != torch.int64:
        raise InputError(f"{name}: expected int64 [{num_studies}, any], got {ids.dtype} {list(ids.shape)}")


def _check_dtype(name: str, values: Tensor | None) -> None:
    if values is not None and values.dtype not in FEATURE_DTYPES:
        raise InputError(f"{name}: {values.dtype} is not supported; use a floating type")


def _check_device(first: Tensor, **others: Tensor | None) -> None:
    for name, values in others.items():
        if values is not None and values.device != first.device:
            raise InputError(f"{name}: is on {values.device}, but the first argument is on {first.device}")
