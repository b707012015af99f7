"""Inputs of the five operations: one place for the parity tests and the benchmarks, so that both speak of the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from simcrop.core.ops import Ops, PatchSize, Window, Windows, as_windows

HU: Window = (-1000.0, 1000.0)
EMBED_VARIANTS = [
    {"embed": "gather", "embed_product": "triton"},
    {"embed": "gather", "embed_product": "cublas"},
    {"embed": "fused"},
]
"""For `simcrop.kernels.variants.using`: each kernel of masked_patch_embed is in one of them."""


@dataclass(frozen=True)
class Call:
    """One call of an operation.

    Attributes:
        op: its name in `Ops`.
        tensors: arguments by position, in order; those in `wanted` get gradients.
        options: arguments by keyword.
        wanted: whose gradients are looked at.
    """

    op: str
    tensors: Mapping[str, Tensor | None]
    options: Mapping[str, Any]
    wanted: tuple[str, ...] = ()

    def arguments(self) -> list[Tensor | None]:
        """The tensors as leaves of a new graph; a view stays a view of the same strides."""
        return [
            None if value is None else value.detach().requires_grad_(name in self.wanted)
            for name, value in self.tensors.items()
        ]

    def forward(self, ops: Ops, arguments: list[Tensor | None] | None = None) -> dict[str, Tensor]:
        """The results by name."""
        given = self.arguments() if arguments is None else arguments
        result = getattr(ops, self.op)(*given, **self.options)
        return dict(result._asdict()) if isinstance(result, tuple) else {"result": result}

    def run(self, ops: Ops, *, of: tuple[str, ...] | None = None) -> dict[str, Tensor]:
        """Results, and the gradients of `wanted` for a fixed random upstream gradient (of the results `of`)."""
        given = self.arguments()
        results = self.forward(ops, given)
        reached = [value for name, value in results.items() if value.requires_grad and (of is None or name in of)]
        # Each of its own seed: which results can be reached may differ between implementations.
        upstream = [torch.randn(value.shape, generator=Draw(value.ndim).generator).to(value) for value in reached]
        if reached:
            torch.autograd.backward(reached, upstream)
        gradients = {
            f"gradient of {name}": leaf.grad
            for name, leaf in zip(self.tensors, given, strict=True)
            if leaf is not None and leaf.grad is not None
        }
        return {name: value.detach() for name, value in results.items()} | gradients

    def to(self, device: torch.device | str) -> "Call":
        """The same call on a device."""
        return replace(self, tensors={n: None if t is None else t.to(device) for n, t in self.tensors.items()})

    def double(self) -> "Call":
        """The same call in float64; HU stay int16, ids and masks what they are."""
        return replace(
            self,
            tensors={
                name: value.double() if value is not None and value.is_floating_point() else value
                for name, value in self.tensors.items()
            },
        )


@dataclass(frozen=True)
class Draw:
    """Random tensors of a seed, drawn where they are wanted: another device draws others."""

    seed: int = 0
    device: str = "cpu"
    generator: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "generator", torch.Generator(self.device).manual_seed(self.seed))

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.device).to(dtype)

    def whole(self, high: int, *shape: int, low: int = 0) -> Tensor:
        return torch.randint(low, high, shape, generator=self.generator, device=self.device)

    def volume(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """HU beyond both ends of the window as int16, else values about that of a windowed volume."""
        if dtype == torch.int16:
            return self.whole(1400, *shape, low=-1400).to(dtype)
        return self.normal(*shape, dtype=dtype)


def embed_call(
    volume_size: tuple[int, int, int] = (8, 9, 20),
    patch_size: PatchSize = (4, 3, 10),
    *,
    studies: int = 2,
    channels: int = 2,
    embed_dim: int = 70,
    visible: int | None = 7,
    volume_dtype: torch.dtype = torch.int16,
    dtype: torch.dtype = torch.float32,
    bias: bool = True,
    positions: bool = True,
    window: Windows | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Call:
    """A call of masked_patch_embed; `visible` ids a study, unsorted and repeated, None for every patch."""
    draw = Draw(seed, device)
    num_patches = torch.Size(v // p for v, p in zip(volume_size, patch_size, strict=True)).numel()
    if window is None and volume_dtype == torch.int16:
        window = HU
    weight_channels = channels * max(1, len(as_windows(window)))
    values = weight_channels * torch.Size(patch_size).numel()
    return Call(
        "masked_patch_embed",
        {
            "volume": draw.volume(studies, channels, *volume_size, dtype=volume_dtype),
            "weight": (draw.normal(embed_dim, weight_channels, *patch_size) / values**0.5).to(dtype),
            "bias": draw.normal(embed_dim).to(dtype) if bias else None,
            "pos_embed": draw.normal(num_patches, embed_dim) if positions else None,
            "ids_keep": None if visible is None else draw.whole(num_patches, studies, visible),
        },
        {"patch_size": patch_size, "window": window},
        ("weight", "bias", "pos_embed"),
    )


def mse_call(
    volume_size: tuple[int, int, int] = (8, 9, 20),
    patch_size: PatchSize = (4, 3, 10),
    *,
    studies: int = 2,
    channels: int = 2,
    masked: int = 7,
    volume_dtype: torch.dtype = torch.int16,
    dtype: torch.dtype = torch.float32,
    window: Window | None = None,
    normalize_patches: bool = True,
    seed: int = 0,
    device: str = "cpu",
) -> Call:
    """A call of masked_patch_mse; `masked` ids a study, unsorted and repeated."""
    draw = Draw(seed, device)
    num_patches = torch.Size(v // p for v, p in zip(volume_size, patch_size, strict=True)).numel()
    if window is None and volume_dtype == torch.int16:
        window = HU
    return Call(
        "masked_patch_mse",
        {
            "pred": draw.normal(studies, masked, channels * torch.Size(patch_size).numel(), dtype=dtype),
            "volume": draw.volume(studies, channels, *volume_size, dtype=volume_dtype),
            "ids_masked": draw.whole(num_patches, studies, masked),
        },
        {"patch_size": patch_size, "window": window, "normalize_patches": normalize_patches},
        ("pred",),
    )


def pairs_call(
    op: str,
    *,
    studies: int = 2,
    volumes: int | None = None,
    sentences: int = 5,
    patches: int = 40,
    features: int = 70,
    k: int = 3,
    temperature: float = 0.1,
    dtype: torch.dtype = torch.float32,
    patches_dtype: torch.dtype | None = None,
    masked: float = 0.3,
    seed: int = 0,
    device: str = "cpu",
) -> Call:
    """A call of an operation on sentences and patches; a share of the sentences is `masked`.

    soft_volume_scores takes `temperature`, the others take `k`.
    """
    draw = Draw(seed, device)
    rows = draw.normal(studies, sentences, features, dtype=dtype)
    columns = draw.normal(studies if volumes is None else volumes, patches, features, dtype=patches_dtype or dtype)
    shown = torch.rand(studies, sentences, generator=draw.generator, device=device) >= masked
    chosen = {"temperature": temperature} if op == "soft_volume_scores" else {"k": k}
    options = {**chosen, "sentence_mask": shown}
    return Call(op, {"sentences": rows, "patches": columns}, options, ("sentences", "patches"))
