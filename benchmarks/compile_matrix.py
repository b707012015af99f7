"""The compile matrix: every kernel, as it is launched, compiled for GPUs that need not be there.

    python benchmarks/compile_matrix.py [--arch 90 ...] [--all] [--out FILE.md]

Each operation is called with tensors that have shapes but no memory; its launches are caught, and compiled with the
types, alignments and options they would have run with. A row fails if registers spill or shared memory exceeds what
the architecture has. Needs ptxas and cuobjdump, which come with Triton.
"""

import argparse
import contextlib
import inspect
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

os.environ.pop("TRITON_INTERPRET", None)
# A kernel from the cache would come without the assembler's account of registers and spills.
os.environ.update(TRITON_ALWAYS_COMPILE="1", TRITON_DUMP_PTXAS_LOG="1")

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from simcrop.kernels import patch_embed as embed
from simcrop.kernels import patch_mse as mse
from simcrop.kernels import patch_topk as topk
from simcrop.kernels import volume_scores as scores
from simcrop.kernels import volume_scores_fused as scores_fused
from simcrop.kernels.variants import using

FP32 = torch.float32
SHARED_BYTES = {80: 166912, 89: 101376, 90: 232448, 100: 232448, 120: 101376}
TOOLS = Path(triton.__file__).parent / "backends/nvidia/bin"
OPTIONS = ("num_warps", "num_stages", "maxnreg")
FINDINGS = {
    "tensor": r"\b(HGMMA|UTCHMMA|UTCMMA|HMMA|UTC\w*MMA)\b",
    "async128": r"\bLDGSTS\.E\.\w*\.?128|\bLDGSTS[\w.]*\.128|\bUBLKCP|\bUTMALDG",
    "load128": r"\bLDG\.E[\w.]*\.128",
}


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

    @property
    def is_clean(self) -> bool:
        return self.spilled_bytes == 0 and self.shared_bytes <= SHARED_BYTES[self.arch]


def meta(*shape: int, dtype: torch.dtype) -> Tensor:
    """A tensor without memory."""
    return torch.empty(shape, dtype=dtype, device="meta")


def embed_cases(every: bool) -> Iterator[Case]:
    """ViT-B patches of 16 x 16 x 8 voxels, a quarter of them visible."""
    types = [(torch.int16, torch.bfloat16)]
    if every:
        types += product((torch.bfloat16, FP32), (torch.bfloat16,))
        types += product((torch.int16, torch.float16, FP32), (torch.float16,))
        types += product((torch.int16, FP32, torch.bfloat16), (FP32,))
    weight, bias, pos = meta(768, 1, 16, 16, 8, dtype=FP32), meta(768, dtype=FP32), meta(2744, 768, dtype=FP32)
    ids, grad = meta(32, 686, dtype=torch.int64), meta(32, 686, 768, dtype=FP32)
    for volume_dtype, dtype in types:
        volume = meta(32, 1, 224, 224, 112, dtype=volume_dtype)
        hu = [-1000.0, 1000.0] if volume_dtype == torch.int16 else None
        name = f"{short(volume_dtype)} volume, {short(dtype)}"
        yield Case(name, partial(body(embed._embed), volume, weight, bias, pos, ids, dtype, hu))
        yield Case(name, partial(body(embed._weight_gradient), grad, volume, weight, True, ids, dtype, hu))


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
        for variant, note in (("chunked", ""), ("fused", ", fused")):
            call = using(scores=variant)(body(scores._scores))
            yield Case(f"{name}{note}", partial(call, sentences, patches, shown, k, keep))
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


def short(dtype: torch.dtype) -> str:
    """bf16 for torch.bfloat16."""
    return {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}.get(dtype, str(dtype)[6:])


def launches(case: Case, arch: int) -> list[tuple[JITFunction, dict[str, Any]]]:
    """The kernels that a call would launch on an architecture, with their arguments by name."""
    found: list[tuple[JITFunction, dict[str, Any]]] = []

    def catch(kernel: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        options = {name: kwargs.pop(name) for name in OPTIONS if name in kwargs}
        bound = inspect.signature(kernel.fn).bind(*args, **kwargs)
        found.append((kernel, {**bound.arguments, **options}))

    original, JITFunction.run = JITFunction.run, catch
    known = embed.architecture
    embed.architecture = topk.architecture = scores_fused.architecture = lambda device: arch
    try:
        case.call()
    finally:
        JITFunction.run = original
        embed.architecture = topk.architecture = scores_fused.architecture = known
    return found


def compile_one(job: tuple[int, int, bool, str]) -> list[Row]:
    """All kernels of one case on one architecture."""
    number, arch, every, only = job
    case = cases(every, only)[number]
    return [compiled(kernel, arguments, case.name, arch) for kernel, arguments in launches(case, arch)]


def compiled(kernel: JITFunction, arguments: dict[str, Any], case: str, arch: int) -> Row:
    """Compile one launch, and read the assembler's account of it."""
    options = {name: arguments.pop(name) for name in OPTIONS if name in arguments}
    signature, constants, attributes = {}, {}, {}
    for index, parameter in enumerate(kernel.params):
        value = arguments[parameter.name]
        kind, aligned = specialised(value, parameter.is_constexpr)
        signature[parameter.name] = kind
        if kind == "constexpr":
            constants[(index,)] = value
        if aligned:
            attributes[(index,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constants, attributes)
    with contextlib.redirect_stdout(io.StringIO()) as log:
        binary = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    usage = log.getvalue()
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(binary.asm["cubin"])
        code = run_tool("cuobjdump", "-sass", file.name)
    counts = {match: code.count(match) for match in set(re.findall(FINDINGS["tensor"], code))}
    return Row(
        kernel=kernel.fn.__name__.strip("_"),
        case=case,
        arch=arch,
        num_warps=binary.metadata.num_warps,
        num_stages=binary.metadata.num_stages,
        registers=int(re.findall(r"Used (\d+) registers", usage)[-1]),
        spilled_bytes=sum(int(n) for n in re.findall(r"(\d+) bytes spill", usage)),
        shared_bytes=binary.metadata.shared,
        tensor_instructions=", ".join(f"{count} {what}" for what, count in counts.items()) or "-",
        loads_128_bit=len(re.findall(f"{FINDINGS['async128']}|{FINDINGS['load128']}", code)),
    )


def specialised(value: Any, is_constexpr: bool) -> tuple[str, bool]:
    """Type of an argument as Triton's runtime would see it, and whether it is known to be divisible by 16."""
    if is_constexpr or (type(value) is int and value == 1):
        return "constexpr", False
    if isinstance(value, Tensor):
        return f"*{short(value.dtype).replace('int', 'i').replace('bool', 'i1')}", True
    if isinstance(value, bool):
        return "u1", False
    if isinstance(value, int):
        return ("i32" if -(2**31) <= value < 2**31 else "i64"), value % 16 == 0
    return "fp32", False


def run_tool(name: str, *arguments: str) -> str:
    """Output of a tool that Triton ships."""
    return subprocess.run([str(TOOLS / name), *arguments], capture_output=True, text=True, check=True).stdout


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
    """Compile all, print a table, and leave with status 1 if a kernel is not clean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", type=int, nargs="*", default=list(SHARED_BYTES))
    parser.add_argument("--all", action="store_true", help="every set of dtypes")
    parser.add_argument("--only", default="", help="operations whose name contains this")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    number = len(cases(options.all, options.only))
    jobs = [(n, arch, options.all, options.only) for n in range(number) for arch in options.arch]
    with ProcessPoolExecutor(options.workers) as pool:
        rows = [row for rows in pool.map(compile_one, jobs) for row in rows]
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows]), encoding="utf-8")
    sys.exit(any(not row.is_clean for row in rows))


def table(rows: list[Row]) -> str:
    """As markdown."""
    lines = [f"Triton {triton.__version__}\n", "| " + " | ".join(Row.__dataclass_fields__) + " | clean |"]
    lines.append("|---" * (len(Row.__dataclass_fields__) + 1) + "|")
    for row in sorted(set(rows), key=lambda r: (r.kernel, r.case, r.arch)):
        lines.append("| " + " | ".join(str(value) for value in asdict(row).values()) + f" | {row.is_clean} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
