"""The calls whose kernels the compile matrix compiles: every operation and variant, on tensors without memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from compiling import short
from torch import Tensor

from simcrop.kernels import (
    patch_fused,
    patch_gather,
    patch_gradients,
    patch_product,
)
from simcrop.kernels import patch_mse as mse
from simcrop.kernels import patch_topk as topk
from simcrop.kernels import soft_scores as soft
from simcrop.kernels import volume_scores as scores
from simcrop.kernels.variants import using

FP32 = torch.float32


@dataclass(frozen=True)
class Case:
    """One way to call an operation."""

    name: str
    call: Callable[[], object]


def meta(*shape: int, dtype: torch.dtype) -> Tensor:
    """A tensor without memory."""
    return torch.empty(shape, dtype=dtype, device="meta")


def embed_cases(every: bool) -> Iterator[Case]:
    """ViT-B patches of 16 x 16 x 8 voxels, a quarter of them visible; then five windows a voxel, and finer patches."""
    types = [(torch.int16, torch.bfloat16)]
    if every:
        types += product((torch.bfloat16, FP32), (torch.bfloat16,))
        types += product((torch.int16, torch.float16, FP32), (torch.float16,))
        types += product((torch.int16, FP32, torch.bfloat16), (FP32,))
    for volume_dtype, dtype in types:
        yield from fused_cases(volume_dtype, dtype)
        yield from gathered_cases(volume_dtype, dtype)
    for volume_dtype in (torch.int16, FP32):
        yield from gathered_cases(volume_dtype, torch.bfloat16, windows=5)
    if every:
        for windows in (1, 5):
            yield from gathered_cases(torch.int16, torch.bfloat16, patch=(8, 8, 4), windows=windows)
        yield from gathered_cases(torch.int16, FP32, windows=5)


def fused_cases(volume_dtype: torch.dtype, dtype: torch.dtype) -> Iterator[Case]:
    """The embedding that keeps no patches."""
    weight, bias, pos = meta(768, 1, 16, 16, 8, dtype=FP32), meta(768, dtype=FP32), meta(2744, 768, dtype=FP32)
    ids, volume = meta(32, 686, dtype=torch.int64), meta(32, 1, 224, 224, 112, dtype=volume_dtype)
    hu = [-1000.0, 1000.0] if volume_dtype == torch.int16 else None
    tokens = partial(body(patch_fused._embed), volume, weight, bias, pos, ids, dtype, hu)
    yield Case(f"{short(volume_dtype)} volume, {short(dtype)}, fused", tokens)


def gathered_cases(
    volume_dtype: torch.dtype, dtype: torch.dtype, patch: tuple[int, int, int] = (16, 16, 8), windows: int = 1
) -> Iterator[Case]:
    """Patches gathered under some windows, their product, and its gradient."""
    h, w, d = patch
    N, K = (224 // h) * (224 // w) * (112 // d), windows * h * w * d
    volume, ids = meta(32, 1, 224, 224, 112, dtype=volume_dtype), meta(32, N // 4, dtype=torch.int64)
    bounds = [bound for low in range(windows) for bound in (-1000.0 - low, 1000.0)]
    bounds = bounds if volume_dtype == torch.int16 or windows > 1 else []
    rows, weight, bias = (
        meta(ids.numel(), K, dtype=dtype),
        meta(768, windows, h, w, d, dtype=FP32),
        meta(768, dtype=FP32),
    )
    pos, grad = meta(N, 768, dtype=FP32), meta(ids.numel(), 768, dtype=FP32)
    name = f"{short(volume_dtype)} volume, {short(dtype)}, gathered, N={N}, K={K}"
    yield Case(name, partial(body(patch_gather.gather), volume, ids, list(patch), bounds, dtype))
    for variant, note in (("triton", ""), ("cublas", ", cuBLAS")):
        tokens = using(embed_product=variant)(body(patch_product._product))
        yield Case(f"{name}{note}", partial(tokens, rows, weight, bias, pos, ids, N))
    yield Case(name, partial(body(patch_gradients.gradient_of_rows), grad, rows, weight))


def topk_cases(every: bool) -> Iterator[Case]:
    """Sentences against the patches of their own volume: in training (686 visible) and in evaluation (all 2744)."""
    shapes = [(32, 2744, 32)]
    if every:
        shapes += [(80, 2744, 32), (32, 686, 32), (32, 686, 4), (32, 2744, 1), (32, 2744, 64), (32, 2744, 128)]
        shapes += [(32, 21952, 64), (32, 21952, 128)]
    for dtype, (S, N, k) in product(feature_dtypes(every), shapes):
        yield topk_case(dtype, S, N, k)
        name = f"{short(dtype)}, S={S}, N={N}, k={k}"
        sentences, patches = meta(32, S, 768, dtype=dtype), meta(32, N, 768, dtype=dtype)
        shown = meta(32, S, dtype=torch.bool)
        inverse_s, inverse_n = meta(32, S, dtype=FP32), meta(32, N, dtype=FP32)
        indices, grad_scores = meta(32, S, k, dtype=torch.int64), meta(32, S, k, dtype=FP32)
        gradient = partial(body(topk._gradient), sentences, patches, shown, inverse_s, inverse_n, indices, sentences)
        yield Case(f"{name}, mean", partial(gradient, None, True, True))
        yield Case(f"{name}, mean and scores", partial(gradient, grad_scores, True, True))


def topk_case(dtype: torch.dtype, S: int, N: int, k: int) -> Case:
    """The forward pass of sentence_patch_topk for 32 studies."""
    sentences, patches = meta(32, S, 768, dtype=dtype), meta(32, N, 768, dtype=dtype)
    call = partial(body(topk._topk), sentences, patches, meta(32, S, dtype=torch.bool), k)
    return Case(f"{short(dtype)}, S={S}, N={N}, k={k}", call)


def scores_cases(every: bool) -> Iterator[Case]:
    """Every sentence against every volume: in training, and in evaluation without a gradient."""
    shapes = [(32, 686, 4, True)]
    if every:
        shapes += [(64, 2744, 32, False), (64, 21952, 64, False), *((32, 686, k, True) for k in (1, 16, 32, 64, 128))]
    for dtype, (B, N, k, keep) in product(feature_dtypes(every), shapes):
        sentences, patches = meta(B, 32, 768, dtype=dtype), meta(B, N, 768, dtype=dtype)
        shown, inverse_r, inverse_n = (meta(B, size, dtype=t) for size, t in ((32, torch.bool), (32, FP32), (N, FP32)))
        name = f"{short(dtype)}, {B} x {B}, N={N}, k={k}"
        yield Case(name, partial(body(scores._scores), sentences, patches, shown, k, keep))
        if keep:
            winners, grad = meta(B * 32, B, k, dtype=torch.int32), meta(B, B, 32, dtype=FP32)
            saved = (sentences, patches, shown, winners, inverse_r, inverse_n)
            yield Case(name, partial(body(scores._gradient), grad, *saved, True, True))


def soft_cases(every: bool) -> Iterator[Case]:
    """Every sentence against every volume by log-sum-exp, with both gradients."""
    shapes = [(32, 686)] + ([(64, 2744), (32, 21952)] if every else [])
    for dtype, (B, N) in product(feature_dtypes(every), shapes):
        sentences, patches, scores = (
            meta(B, 32, 768, dtype=dtype),
            meta(B, N, 768, dtype=dtype),
            meta(B, B, 32, dtype=FP32),
        )
        name = f"{short(dtype)}, {B} x {B}, N={N}"
        yield Case(name, partial(body(soft._scores), sentences, patches, 0.1))
        saved = (sentences, patches, scores, meta(B, 32, dtype=FP32), meta(B, N, dtype=FP32))
        yield Case(name, partial(body(soft._gradient), scores, *saved, 0.1, True, True))


def mse_cases(every: bool) -> Iterator[Case]:
    """ViT-B patches, three quarters of them masked."""
    types = [(torch.int16, torch.bfloat16, True)]
    if every:
        types += product((torch.int16, torch.bfloat16, FP32), (torch.bfloat16, torch.float16, FP32), (True, False))
    ids = meta(32, 2058, dtype=torch.int64)
    for volume_dtype, dtype, normalize in dict.fromkeys(types):
        volume, pred = meta(32, 1, 224, 224, 112, dtype=volume_dtype), meta(32, 2058, 2048, dtype=dtype)
        hu = [-1000.0, 1000.0] if volume_dtype == torch.int16 else None
        given = (pred, volume, ids, [16, 16, 8], hu, normalize)
        name = f"{short(volume_dtype)} volume, {short(dtype)}{', normalised' if normalize else ''}"
        yield Case(name, partial(body(mse._mse), *given, dtype != torch.float16))
        if dtype == torch.float16:
            yield Case(f"{name}, backward", partial(body(mse._gradient), meta(1, dtype=FP32), *given))


def feature_dtypes(every: bool) -> list[torch.dtype]:
    """Of sentences and patches."""
    return [torch.bfloat16, torch.float16, FP32] if every else [torch.bfloat16]


def body(op: Any) -> Callable[..., object]:
    """A custom op's own code: given tensors without memory, the op itself would take a shortcut."""
    return op._init_fn


OPERATIONS = {
    "masked_patch_embed": embed_cases,
    "sentence_patch_topk": topk_cases,
    "sentence_volume_scores": scores_cases,
    "soft_volume_scores": soft_cases,
    "masked_patch_mse": mse_cases,
}


def cases(every: bool, only: str = "") -> list[Case]:
    """The calls whose kernels are compiled; without `every`, one set of dtypes an operation."""
    return [case for name, make in OPERATIONS.items() if only in name for case in make(every)]
