"""Problems that implementations of the five operations compete at: sizes, inputs, work, and least traffic."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from support.kernel_inputs import HU, Call, Draw, embed_call, mse_call, pairs_call
from torch import Tensor

from simcrop.core.ops import PatchSize, Window

WINDOWS: tuple[Window, ...] = (HU, (-1350.0, 150.0), (-160.0, 240.0), (-500.0, 1300.0), (-200.0, 0.0))
"""Five, as readers use them: wide, lung, soft tissue, bone, fat."""


@dataclass(frozen=True)
class Scale:
    """Sizes that fit a machine; the defaults are a ViT-B's.

    Attributes:
        fine: patches of a finer grid, of which the best `fine_k` are taken; 0 leaves this out, and the hubs too.
        pairs: studies of the two problems of every sentence against every volume; 0 leaves the second out.
    """

    studies: int
    dtype: torch.dtype
    volume: tuple[int, int, int] = (224, 224, 112)
    patch: PatchSize = (16, 16, 8)
    features: int = 768
    k: int = 32
    sentences: tuple[int, int] = (32, 80)
    fine: int = 0
    fine_k: int = 64
    pairs: tuple[int, int] = (32, 64)

    @property
    def num_patches(self) -> int:
        """Patches of a volume."""
        return torch.Size(v // p for v, p in zip(self.volume, self.patch, strict=True)).numel()

    @property
    def visible(self) -> int:
        """A quarter of them."""
        return self.num_patches // 4

    @property
    def patch_values(self) -> int:
        """Values of a patch."""
        return torch.Size(self.patch).numel()

    @property
    def item(self) -> int:
        """Bytes of a value."""
        return self.dtype.itemsize


GPU = Scale(32, torch.bfloat16, fine=21952)
CPU = Scale(2, torch.float32, pairs=(8, 0))
REHEARSAL = Scale(
    2, torch.float32, (8, 8, 8), (4, 4, 2), features=16, k=3, sentences=(3, 4), fine=40, fine_k=5, pairs=(2, 2)
)


@dataclass(frozen=True)
class Problem:
    """A size at which implementations compete.

    Attributes:
        make: draws the inputs on a device.
        flops, bytes: of the forward pass: products, and the least that must be read and written.
        backward: forward and backward together, as a multiple of each; None where nobody needs it.
    """

    name: str
    op: str
    make: Callable[[str], Call]
    flops: float
    bytes: float
    backward: float | None


def drawn_ids(scale: Scale, number: int, device: str, *, is_sorted: bool = True) -> Tensor:
    """Ids of so many patches of each study, without repeats."""
    draws = [Draw(study, device) for study in range(scale.studies)]
    ids = torch.stack([torch.randperm(scale.num_patches, generator=d.generator, device=device)[:number] for d in draws])
    return ids.sort(1).values if is_sorted else ids


def embed_problem(scale: Scale, volume_dtype: torch.dtype, *, is_sorted: bool = True) -> Problem:
    """A quarter of the patches embedded."""

    def make(device: str) -> Call:
        call = embed_call(
            scale.volume, scale.patch, studies=scale.studies, channels=1, embed_dim=scale.features, visible=None,
            volume_dtype=volume_dtype, dtype=scale.dtype, device=device,
        )  # fmt: skip
        ids = drawn_ids(scale, scale.visible, device, is_sorted=is_sorted)
        return replace(call, tensors={**call.tensors, "ids_keep": ids}, wanted=("weight", "bias"))

    tokens, E, P = scale.studies * scale.visible, scale.features, scale.patch_values
    num_bytes = tokens * P * volume_dtype.itemsize + E * P * scale.item + tokens * E * 4
    order = "" if is_sorted else ", unsorted ids"
    name = f"masked_patch_embed, {str(volume_dtype)[6:]} volume{order}"
    return Problem(name, "masked_patch_embed", make, 2.0 * tokens * P * E, num_bytes, 2.0)


def windows_problem(scale: Scale) -> Problem:
    """The same with every voxel under five windows, the volume read once."""
    number = len(WINDOWS)

    def make(device: str) -> Call:
        call = embed_problem(scale, torch.int16).make(device)
        weight = call.tensors["weight"]
        assert weight is not None
        tensors = {**call.tensors, "weight": weight.repeat(1, number, 1, 1, 1)}
        return replace(call, tensors=tensors, options={"patch_size": scale.patch, "window": WINDOWS})

    tokens, E, P = scale.studies * scale.visible, scale.features, scale.patch_values
    num_bytes = tokens * P * 2 + number * E * P * scale.item + tokens * E * 4
    name = f"masked_patch_embed, int16 volume, {number} windows"
    return Problem(name, "masked_patch_embed", make, 2.0 * tokens * number * P * E, num_bytes, 2.0)


def topk_problem(scale: Scale, num_patches: int, sentences: int, k: int) -> Problem:
    """Sentences against the patches of their own study."""

    def make(device: str) -> Call:
        sizes = {"studies": scale.studies, "sentences": sentences, "patches": num_patches, "features": scale.features}
        return pairs_call("sentence_patch_topk", **sizes, k=k, dtype=scale.dtype, masked=0, device=device)

    rows, E = scale.studies * sentences, scale.features
    num_bytes = (scale.studies * num_patches + 2 * rows) * E * scale.item
    name = f"sentence_patch_topk, N={num_patches}, S={sentences}, k={k}"
    return Problem(name, "sentence_patch_topk", make, 2.0 * rows * num_patches * E, num_bytes, 2.0)


def scores_problem(scale: Scale, studies: int, num_patches: int, k: int, *, trains: bool) -> Problem:
    """Every sentence against every volume."""
    S, E = scale.sentences[0], scale.features

    def make(device: str) -> Call:
        sizes = {"studies": studies, "sentences": S, "patches": num_patches, "features": E}
        return pairs_call("sentence_volume_scores", **sizes, k=k, dtype=scale.dtype, masked=0, device=device)

    flops, num_bytes = 2.0 * studies**2 * S * num_patches * E, studies * (num_patches + S) * E * scale.item
    name = f"sentence_volume_scores, {studies} x {studies}, N={num_patches}, k={k}"
    return Problem(name, "sentence_volume_scores", make, flops, num_bytes, 1.5 if trains else None)


def soft_problem(scale: Scale) -> Problem:
    """Every sentence against every volume, by all patches that are visible."""
    studies, S, E, N = scale.pairs[0], scale.sentences[0], scale.features, scale.visible

    def make(device: str) -> Call:
        sizes = {"studies": studies, "sentences": S, "patches": N, "features": E}
        return pairs_call("soft_volume_scores", **sizes, dtype=scale.dtype, masked=0, device=device)

    flops, num_bytes = 2.0 * studies**2 * S * N * E, studies * (N + S) * E * scale.item
    return Problem(
        f"soft_volume_scores, {studies} x {studies}, N={N}", "soft_volume_scores", make, flops, num_bytes, 3.0
    )


def hub_problem(problem: Problem) -> Problem:
    """The same with one patch a volume that nearly every sentence chooses, as at the start of a run."""

    def make(device: str) -> Call:
        call = problem.make(device)
        sentences, patches = call.tensors["sentences"], call.tensors["patches"]
        assert sentences is not None
        assert patches is not None
        shared = Draw(1, device).normal(sentences.shape[2], dtype=sentences.dtype)
        hubs = torch.cat([shared.expand(len(patches), 1, -1), patches[:, 1:]], 1)
        return replace(call, tensors={"sentences": sentences + shared, "patches": hubs})

    return replace(problem, name=f"{problem.name}, with hubs", make=make)


def mse_problem(scale: Scale, volume_dtype: torch.dtype) -> Problem:
    """Three quarters of the patches predicted."""
    number = scale.num_patches - scale.visible

    def make(device: str) -> Call:
        call = mse_call(
            scale.volume, scale.patch, studies=scale.studies, channels=1, masked=number, volume_dtype=volume_dtype,
            dtype=scale.dtype, device=device,
        )  # fmt: skip
        return replace(call, tensors={**call.tensors, "ids_masked": drawn_ids(scale, number, device)})

    values, item, voxel = scale.studies * number * scale.patch_values, scale.item, volume_dtype.itemsize
    name = f"masked_patch_mse, {str(volume_dtype)[6:]} volume"
    return Problem(
        name, "masked_patch_mse", make, 0.0, values * (item + voxel), (2 * item + voxel) / (item + voxel)
    )  # fmt: skip


def one_of_each(found: list[Problem]) -> list[Problem]:
    """The first problem of each operation: enough to see that all works."""
    first: dict[str, Problem] = {}
    for problem in found:
        first.setdefault(problem.op, problem)
    return list(first.values())


def problems(scale: Scale) -> list[Problem]:
    """Every problem of a scale, those that a training step has first."""
    few, many = scale.sentences
    pairs, more_pairs = scale.pairs
    is_low = scale.dtype != torch.float32
    trained = scores_problem(scale, pairs, scale.visible, min(4, scale.k), trains=True)
    found = [
        embed_problem(scale, torch.int16),
        topk_problem(scale, scale.visible, few, scale.k),
        topk_problem(scale, scale.num_patches, few, scale.k),
        trained,
        soft_problem(scale),
        mse_problem(scale, torch.int16),
        topk_problem(scale, scale.num_patches, many, scale.k),
        *([scores_problem(scale, more_pairs, scale.num_patches, scale.k, trains=False)] if more_pairs else []),
        embed_problem(scale, torch.float32),
        embed_problem(scale, scale.dtype) if is_low else embed_problem(scale, torch.float32, is_sorted=False),
        mse_problem(scale, torch.float32),
        windows_problem(scale),
    ]
    if scale.fine:
        fewer = replace(scale, studies=min(8, scale.studies))
        found += [hub_problem(trained), topk_problem(fewer, scale.fine, few, scale.fine_k)]
    return found
