"""The compile matrix: every kernel, as it is launched, compiled for GPUs that need not be there.

    python benchmarks/compile_matrix.py [--arch 90 ...] [--all] [--only OPERATION] [--json FILE]

Each operation is called with tensors that have shapes but no memory; its launches are caught, and compiled with the
types, alignments and options they would have run with. A row fails if registers spill, if shared memory exceeds what
the architecture has, or if a loop with a product does not read its next tiles while it computes. For sm_90 a second
table predicts times (benchmarks/predictions.py). Needs ptxas and cuobjdump, which come with Triton.
"""

import argparse
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

# Kernels must be Triton's own when they are defined below, and the assembler must tell of registers and spills.
os.environ.pop("TRITON_INTERPRET", None)
os.environ.update(TRITON_ALWAYS_COMPILE="1", TRITON_DUMP_PTXAS_LOG="1")

import torch
import triton
from compiling import OPTIONS, Source, compiled, short, source
from machine_code import Binary
from predictions import Call, predictions
from throughput import SMS, TorchWork
from torch import Tensor
from triton.runtime.jit import JITFunction

from simcrop.kernels import (
    cosines,
    patch_fused,
    patch_fused_gradient,
    patch_gather,
    patch_gradients,
    patch_product,
    patch_tiles,
)
from simcrop.kernels import patch_mse as mse
from simcrop.kernels import patch_topk as topk
from simcrop.kernels import volume_scores as scores
from simcrop.kernels.variants import using

FP32 = torch.float32
SHARED_BYTES = {80: 166912, 89: 101376, 90: 232448, 100: 232448, 120: 101376}


@dataclass(frozen=True)
class Case:
    """One way to call an operation."""

    name: str
    call: Callable[[], object]


@dataclass(frozen=True)
class Row:
    """What became of one kernel."""

    kernel: str
    case: str
    arch: int
    num_warps: int
    num_stages: int
    registers: int
    spilled_bytes: int
    shared_bytes: int
    tensor_instructions: str
    loads_128_bit: int
    buffers: str
    copy_waits: str
    product_waits: str
    loop_instructions: str
    pipelined: bool

    @property
    def is_clean(self) -> bool:
        return self.spilled_bytes == 0 and self.shared_bytes <= SHARED_BYTES[self.arch] and self.pipelined


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
    yield from gathered_cases(torch.int16, torch.bfloat16, windows=5)
    if every:
        for windows in (1, 5):
            yield from gathered_cases(torch.int16, torch.bfloat16, patch=(8, 8, 4), windows=windows)
        yield from gathered_cases(torch.int16, FP32, windows=5)


def fused_cases(volume_dtype: torch.dtype, dtype: torch.dtype) -> Iterator[Case]:
    """The embedding that keeps no patches, and its weight gradient."""
    weight, bias, pos = meta(768, 1, 16, 16, 8, dtype=FP32), meta(768, dtype=FP32), meta(2744, 768, dtype=FP32)
    ids, grad = meta(32, 686, dtype=torch.int64), meta(32 * 686, 768, dtype=FP32)
    volume = meta(32, 1, 224, 224, 112, dtype=volume_dtype)
    hu = [-1000.0, 1000.0] if volume_dtype == torch.int16 else None
    name = f"{short(volume_dtype)} volume, {short(dtype)}"
    for keep in (False, True):
        tokens = partial(body(patch_fused._embed), volume, weight, bias, pos, ids, dtype, hu, keep)
        yield Case(f"{name}, fused{', keeps patches' if keep else ''}", tokens)
    gradient = partial(body(patch_fused_gradient.weight_gradient), grad, volume, weight, ids, dtype, hu)
    yield Case(f"{name}, fused", partial(with_variant, gradient, weight_gradient="fused"))


def gathered_cases(
    volume_dtype: torch.dtype, dtype: torch.dtype, patch: tuple[int, int, int] = (16, 16, 8), windows: int = 1
) -> Iterator[Case]:
    """Patches gathered under some windows, their product, and its gradient."""
    h, w, d = patch
    N, K = (224 // h) * (224 // w) * (112 // d), windows * h * w * d
    volume, ids = meta(32, 1, 224, 224, 112, dtype=volume_dtype), meta(32, N // 4, dtype=torch.int64)
    bounds = [bound for low in range(windows) for bound in (-1000.0 - low, 1000.0)]
    bounds = bounds if volume_dtype == torch.int16 else []
    rows, weight, bias = (
        meta(ids.numel(), K, dtype=dtype),
        meta(768, windows, h, w, d, dtype=FP32),
        meta(768, dtype=FP32),
    )
    pos, grad = meta(N, 768, dtype=FP32), meta(ids.numel(), 768, dtype=FP32)
    name = f"{short(volume_dtype)} volume, {short(dtype)}, gathered, N={N}, K={K}"
    yield Case(name, partial(body(patch_gather._gather), volume, ids, list(patch), bounds, dtype))
    tokens = partial(body(patch_product._product), rows, weight, bias, pos, ids, N)
    yield Case(name, tokens)
    yield Case(name, partial(with_variant, tokens, embed_product="cublas"))
    yield Case(name, partial(body(patch_gradients.gradient_of_rows), grad, rows, weight))


def with_variant(call: Callable[[], object], **choices: str) -> None:
    """Call an operation while other variants of kernels are in use."""
    with using(**choices):
        call()


def topk_cases(every: bool) -> Iterator[Case]:
    """Sentences against the patches of their own volume: in training (686 visible) and in evaluation (all 2744)."""
    shapes = [(32, 2744, 32)]
    if every:
        shapes += [(80, 2744, 32), (32, 686, 32), (32, 686, 4), (32, 2744, 1), (32, 2744, 64), (32, 2744, 128)]
    for dtype, (S, N, k) in product(feature_dtypes(every), shapes):
        sentences, patches = meta(32, S, 768, dtype=dtype), meta(32, N, 768, dtype=dtype)
        shown, inverse_s, inverse_n = (meta(32, size, dtype=t) for size, t in ((S, torch.bool), (S, FP32), (N, FP32)))
        indices, grad_scores = meta(32, S, k, dtype=torch.int64), meta(32, S, k, dtype=FP32)
        name = f"{short(dtype)}, S={S}, N={N}, k={k}"
        yield Case(name, partial(body(topk._topk), sentences, patches, shown, k))
        gradient = partial(body(topk._gradient), sentences, patches, shown, inverse_s, inverse_n, indices, sentences)
        yield Case(f"{name}, mean", partial(gradient, None, True, True))
        yield Case(f"{name}, mean and scores", partial(gradient, grad_scores, True, True))


def scores_cases(every: bool) -> Iterator[Case]:
    """Every sentence against every volume: in training, and in evaluation without a gradient."""
    shapes = [(32, 686, 4, True)]
    if every:
        shapes += [(64, 2744, 32, False), *((32, 686, k, True) for k in (1, 16, 32, 64, 128))]
    for dtype, (B, N, k, keep) in product(feature_dtypes(every), shapes):
        sentences, patches = meta(B, 32, 768, dtype=dtype), meta(B, N, 768, dtype=dtype)
        shown, inverse_r, inverse_n = (meta(B, size, dtype=t) for size, t in ((32, torch.bool), (32, FP32), (N, FP32)))
        name = f"{short(dtype)}, {B} x {B}, N={N}, k={k}"
        yield Case(name, partial(body(scores._scores), sentences, patches, shown, k, keep))
        if keep:
            winners, grad = meta(B * 32, B, k, dtype=torch.int32), meta(B, B, 32, dtype=FP32)
            saved = (sentences, patches, shown, winners, inverse_r, inverse_n)
            yield Case(name, partial(body(scores._gradient), grad, *saved, True, True))


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


def launches(case: Case, arch: int) -> list[tuple[JITFunction, dict[str, Any]]]:
    """The kernels that a call would launch on an architecture, with their arguments, options and `grid` by name."""
    found: list[tuple[JITFunction, dict[str, Any]]] = []

    def catch(kernel: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        options = {name: kwargs.pop(name) for name in OPTIONS if name in kwargs}
        bound = inspect.signature(kernel.fn).bind(*args, **kwargs)
        found.append((kernel, {**bound.arguments, **options, "grid": grid}))

    with ExitStack() as patches:
        patches.enter_context(patch.object(JITFunction, "run", catch))
        for module in [each for name, each in sys.modules.items() if name.startswith("simcrop.kernels.")]:
            for name, value in (("architecture", arch), ("num_multiprocessors", SMS)):
                if hasattr(module, name):
                    patches.enter_context(patch.object(module, name, lambda device, value=value: value))
        case.call()
    return found


def row(case: str, given: Source, binary: Binary) -> Row:
    """What the matrix says of one kernel."""
    loops = binary.hot_loops
    return Row(
        kernel=given.kernel.strip("_"),
        case=case,
        arch=given.arch,
        **{name: getattr(binary, name) for name in Row.__dataclass_fields__ if hasattr(binary, name)},
        buffers=listed(f"{name} {count}" for loop in loops for name, count in loop.buffers),
        copy_waits=listed(wait for loop in loops for wait in loop.copy_waits),
        product_waits=listed(wait for loop in loops for wait in loop.product_waits),
        loop_instructions=listed(
            f"{loop.instructions} ({loop.tensor} tensor)" for loop in binary.code.loops if loop.tensor
        ),
        pipelined=all(loop.is_pipelined for loop in loops),
    )


def listed(values: Iterable[object]) -> str:
    """Values in a cell."""
    return ", ".join(map(str, values)) or "-"


OPERATIONS = {
    "masked_patch_embed": embed_cases,
    "sentence_patch_topk": topk_cases,
    "sentence_volume_scores": scores_cases,
    "masked_patch_mse": mse_cases,
}


def cases(every: bool, only: str = "") -> list[Case]:
    """The calls whose kernels are compiled; without `every`, one set of dtypes an operation."""
    return [case for name, make in OPERATIONS.items() if only in name for case in make(every)]


def main() -> None:
    """Compile all, print the tables, and leave with status 1 if a kernel is not clean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", type=int, nargs="*", default=list(SHARED_BYTES))
    parser.add_argument("--all", action="store_true", help="every set of dtypes")
    parser.add_argument("--only", default="", help="operations whose name contains this")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    calls = [caught(case, arch) for case in cases(options.all, options.only) for arch in options.arch]
    sources = list(dict.fromkeys(given for call in calls for given in call.sources))
    with ProcessPoolExecutor(options.workers) as pool:
        binaries = dict(zip(sources, pool.map(compiled, sources), strict=True))
    rows = list(dict.fromkeys(row(call.case, given, binaries[given]) for call in calls for given in call.sources))
    print(table(rows))
    print(predictions([call for call in calls if call.arch == 90], binaries))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows]), encoding="utf-8")
    sys.exit(any(not row.is_clean for row in rows))


def caught(case: Case, arch: int) -> Call:
    """A call's launches, kernels and torch's own."""
    with TorchWork() as torch_work:
        found = launches(case, arch)
    sources = [source(kernel, arguments, arch) for kernel, arguments in found]
    function = case.call.func
    operation = f"{function.__module__.rpartition('.')[2]}.{function.__name__.strip('_')}"
    return Call(operation, case.name, arch, sources, [arguments for _, arguments in found], torch_work.found)


def table(rows: list[Row]) -> str:
    """As markdown."""
    lines = [f"Triton {triton.__version__}\n", "| " + " | ".join(Row.__dataclass_fields__) + " | clean |"]
    lines.append("|---" * (len(Row.__dataclass_fields__) + 1) + "|")
    for each in sorted(rows, key=lambda r: (r.kernel, r.case, r.arch)):
        lines.append("| " + " | ".join(str(value) for value in asdict(each).values()) + f" | {each.is_clean} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
