"""The four operations against their PyTorch baselines: forward, and forward with backward.

On a GPU: the kernels, in bf16, at the sizes of a ViT-B. On a CPU: the reference, in fp32, on smaller batches. Nothing
is timed before it has passed the correctness gate.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from baselines import Implementation, baselines, has_backward
from measuring import DEVICE, H200_TBPS, H200_TFLOPS
from support.kernel_inputs import Call, embed_call, mse_call, pairs_call
from torch import Tensor

from simcrop.core.ops import Ops
from simcrop.core.reference import REFERENCE
from simcrop.kernels import TRITON

ON_GPU = DEVICE.type == "cuda"
STUDIES, DTYPE = (32, torch.bfloat16) if ON_GPU else (2, torch.float32)
SIZE, PATCH = (224, 224, 112), (16, 16, 8)
N, VISIBLE, MASKED = 2744, 686, 2058


@dataclass(frozen=True)
class Problem:
    """A size at which implementations compete.

    Attributes:
        small: makes the same call at a size for the gate.
        flops, bytes: of the forward pass: products, and the least that must be read and written.
        backward: forward and backward together, as a multiple of each.
    """

    name: str
    make: Callable[[], Call]
    small: Callable[[], Call]
    flops: float
    bytes: float
    backward: float | None


def drawn(number: int) -> Tensor:
    """Ids of so many patches of each study, in random order."""
    draws = [torch.Generator().manual_seed(study) for study in range(STUDIES)]
    return torch.stack([torch.randperm(N, generator=draw)[:number] for draw in draws])


def embed_problem(volume_dtype: torch.dtype, *, is_sorted: bool = True) -> Problem:
    def make() -> Call:
        call = embed_call(
            SIZE, PATCH, studies=STUDIES, channels=1, embed_dim=768, visible=None, volume_dtype=volume_dtype,
            dtype=DTYPE,
        )  # fmt: skip
        ids = torch.stack(
            [torch.randperm(N, generator=torch.Generator().manual_seed(b))[:VISIBLE] for b in range(STUDIES)]
        )
        ids = ids.sort(1).values if is_sorted else ids
        return replace(call, tensors={**call.tensors, "ids_keep": ids}, wanted=("weight", "bias"))

    tokens, values = STUDIES * VISIBLE, 2048
    size = torch.empty(0, dtype=DTYPE).element_size()
    read = tokens * values * torch.empty(0, dtype=volume_dtype).element_size() + 768 * values * size
    order = "" if is_sorted else ", unsorted ids"
    return Problem(
        f"masked_patch_embed, {str(volume_dtype)[6:]} volume{order}",
        make,
        lambda: embed_call(visible=7, volume_dtype=volume_dtype, dtype=DTYPE),
        2.0 * tokens * values * 768,
        read + tokens * 768 * 4,
        2.0,
    )


def topk_problem(num_patches: int, sentences: int, k: int) -> Problem:
    size = torch.empty(0, dtype=DTYPE).element_size()
    rows = STUDIES * sentences
    return Problem(
        f"sentence_patch_topk, N={num_patches}, S={sentences}, k={k}",
        lambda: pairs_call(
            "sentence_patch_topk",
            studies=STUDIES,
            sentences=sentences,
            patches=num_patches,
            features=768,
            k=k,
            dtype=DTYPE,
            masked=0,
        ),
        lambda: pairs_call("sentence_patch_topk", dtype=DTYPE),
        2.0 * rows * num_patches * 768,
        (STUDIES * num_patches + 2 * rows) * 768 * size,
        2.0,
    )


def scores_problem(studies: int, num_patches: int, k: int, *, trains: bool) -> Problem:
    size = torch.empty(0, dtype=DTYPE).element_size()
    return Problem(
        f"sentence_volume_scores, {studies} x {studies}, N={num_patches}, k={k}",
        lambda: pairs_call(
            "sentence_volume_scores",
            studies=studies,
            sentences=32,
            patches=num_patches,
            features=768,
            k=k,
            dtype=DTYPE,
            masked=0,
        ),
        lambda: pairs_call("sentence_volume_scores", dtype=DTYPE),
        2.0 * studies**2 * 32 * num_patches * 768,
        studies * (num_patches + 32) * 768 * size,
        1.5 if trains else None,
    )


def mse_problem(volume_dtype: torch.dtype) -> Problem:
    def make() -> Call:
        call = mse_call(SIZE, PATCH, studies=STUDIES, channels=1, masked=MASKED, volume_dtype=volume_dtype, dtype=DTYPE)
        ids = torch.stack(
            [torch.randperm(N, generator=torch.Generator().manual_seed(b))[:MASKED] for b in range(STUDIES)]
        )
        return replace(call, tensors={**call.tensors, "ids_masked": ids.sort(1).values})

    values = STUDIES * MASKED * 2048
    item, voxel = torch.empty(0, dtype=DTYPE).element_size(), torch.empty(0, dtype=volume_dtype).element_size()
    return Problem(
        f"masked_patch_mse, {str(volume_dtype)[6:]} volume",
        make,
        lambda: mse_call(volume_dtype=volume_dtype, dtype=DTYPE),
        0.0,
        values * (item + voxel),
        (2 * item + voxel) / (item + voxel),
    )


PROBLEMS = [
    embed_problem(torch.int16),
    embed_problem(torch.float32),
    *([embed_problem(torch.bfloat16)] if ON_GPU else [embed_problem(torch.float32, is_sorted=False)]),
    topk_problem(VISIBLE, 32, 32),
    topk_problem(N, 32, 32),
    topk_problem(N, 80, 32),
    scores_problem(32 if ON_GPU else 8, VISIBLE, 4, trains=True),
    *([scores_problem(64, N, 32, trains=False)] if ON_GPU else []),
    mse_problem(torch.int16),
    mse_problem(torch.float32),
]
OURS = {"simcrop (Triton)": TRITON, "simcrop (reference)": REFERENCE} if ON_GPU else {"simcrop (reference)": REFERENCE}


def implementations(op: str) -> dict[str, Ops]:
    """Ours first, then the baselines, each as a bundle whose other operations are not used."""
    return OURS | {name: alone(op, function) for name, function in baselines(op, DEVICE).items()}


def alone(op: str, function: Implementation) -> Ops:
    return replace(REFERENCE, name=op, **{op: function})


def cases(*, backward: bool) -> list[object]:
    problems = [problem for problem in PROBLEMS if problem.backward or not backward]
    return [
        pytest.param(problem, name, id=f"{problem.name}-{name}")
        for problem in problems
        for name in implementations(problem.small().op)
        if not backward or has_backward(name)
    ]


@pytest.mark.parametrize(("problem", "name"), cases(backward=False))
def test_forward(problem: Problem, name: str, measure) -> None:
    ops = gated(problem, name)
    call = problem.make().to(DEVICE)
    call = replace(call, wanted=(), options=on_device(call.options))
    arguments = call.arguments()

    def run() -> object:
        with torch.no_grad():
            return call.forward(ops, arguments)

    floor = max(problem.flops / H200_TFLOPS / 1e12, problem.bytes / H200_TBPS / 1e12)
    measure(f"{problem.name}: forward", name, run, flops=problem.flops, num_bytes=problem.bytes, floor_s=floor)


@pytest.mark.parametrize(("problem", "name"), cases(backward=True))
def test_forward_and_backward(problem: Problem, name: str, measure) -> None:
    ops = gated(problem, name)
    call = problem.make().to(DEVICE)
    call = replace(call, options=on_device(call.options))
    arguments = call.arguments()
    leaves = [leaf for leaf in arguments if leaf is not None and leaf.requires_grad]

    def run() -> object:
        results = call.forward(ops, arguments)
        value = results.get("aligned", next(iter(results.values())))
        return torch.autograd.grad(value, leaves, torch.ones_like(value), allow_unused=True)

    times = problem.backward or 1.0
    floor = times * max(problem.flops / H200_TFLOPS / 1e12, problem.bytes / H200_TBPS / 1e12)
    measure(
        f"{problem.name}: forward and backward",
        name,
        run,
        flops=times * problem.flops,
        num_bytes=times * problem.bytes,
        floor_s=floor,
    )


def gated(problem: Problem, name: str) -> Ops:
    """An implementation that computes the operation: at most a few roundings from float64."""
    call = problem.small().to(DEVICE)
    call = replace(call, options=on_device(call.options))
    ops = implementations(call.op)[name]
    with torch.no_grad():
        ours, exact = call.forward(ops), call.double().forward(REFERENCE)
    for key, value in ours.items():
        if not value.is_floating_point():
            continue
        error = float((value.double() - exact[key]).abs().max())
        limit = 8 * torch.finfo(DTYPE).eps * max(1.0, float(exact[key].abs().max()))
        assert error <= limit, f"{name} is off by {error:.3g} in {key}: not timed"
    return ops


def on_device(options):
    return {key: value.to(DEVICE) if isinstance(value, Tensor) else value for key, value in options.items()}
