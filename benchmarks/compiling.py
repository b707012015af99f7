"""Compile a kernel for a GPU that need not be there, as Triton's runtime would for one launch, and read the result.

The environment must have TRITON_DUMP_PTXAS_LOG, for registers and spills, and TRITON_ALWAYS_COMPILE: a kernel from the
cache would come without them.
"""

import contextlib
import io
import re
import subprocess
import tempfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import triton
from machine_code import TENSOR, Binary, code, hot_loops
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction, KernelParam
from triton.tools.tensor_descriptor import TensorDescriptor

TOOLS = Path(triton.__file__).parent / "backends/nvidia/bin"
OPTIONS = ("num_warps", "num_stages", "maxnreg")
LOADS_128_BIT = r"\bLDGSTS\.E\.\w*\.?128|\bLDGSTS[\w.]*\.128|\bUBLKCP|\bUTMALDG|\bLDG\.E[\w.]*\.128"


@dataclass(frozen=True)
class Source:
    """All that the compiler is given; equal sources need compiling once."""

    module: str
    kernel: str
    arch: int
    types: tuple[tuple[str, str], ...]
    constants: tuple[tuple[int, Any], ...]
    aligned: tuple[int, ...]
    options: tuple[tuple[str, int], ...]


def source(kernel: JITFunction, arguments: dict[str, Any], arch: int) -> Source:
    """A launch without its values."""
    types, constants, aligned = [], [], []
    for index, parameter in enumerate(kernel.params):
        value = arguments[parameter.name]
        kind, is_aligned = specialised(value, parameter)
        types.append((parameter.name, kind))
        constants += [(index, value)] if kind == "constexpr" else []
        aligned += [index] if is_aligned else []
    options = tuple((name, arguments[name]) for name in OPTIONS if name in arguments)
    name, module = kernel.fn.__name__, kernel.fn.__module__
    return Source(module, name, arch, tuple(types), tuple(constants), tuple(aligned), options)


def specialised(value: Any, parameter: KernelParam) -> tuple[str, bool]:
    """Type of an argument as Triton's runtime would see it, and whether it is known to be divisible by 16."""
    if isinstance(value, Tensor):
        return f"*{short(value.dtype).replace('int', 'i').replace('bool', 'i1')}", True
    if isinstance(value, TensorDescriptor):
        return f"tensordesc<{short(value.base.dtype)}{list(value.block_shape)}>", False
    if parameter.is_constexpr or (type(value) is int and value == 1 and not parameter.do_not_specialize):
        return "constexpr", False
    if isinstance(value, bool):
        return "u1", False
    if isinstance(value, int):
        is_aligned = value % 16 == 0 and not parameter.do_not_specialize
        return ("i32" if -(2**31) <= value < 2**31 else "i64"), is_aligned
    return "fp32", False


def short(dtype: torch.dtype) -> str:
    """bf16 for torch.bfloat16."""
    return {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}.get(dtype, str(dtype)[6:])


def compiled(given: Source) -> Binary:
    """Compile, and read the assembler's account and the machine code."""
    kernel = getattr(import_module(given.module), given.kernel)
    constants = {(index,): value for index, value in given.constants}
    attributes = {(index,): [["tt.divisibility", 16]] for index in given.aligned}
    what = ASTSource(kernel, dict(given.types), constants, attributes)
    with contextlib.redirect_stdout(io.StringIO()) as log:
        binary = triton.compile(what, target=GPUTarget("cuda", given.arch, 32), options=dict(given.options))
    usage = log.getvalue()
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(binary.asm["cubin"])
        sass = run_tool("cuobjdump", "-sass", file.name)
    found = TENSOR.findall(sass)
    return Binary(
        num_warps=binary.metadata.num_warps,
        num_stages=binary.metadata.num_stages,
        registers=int(re.findall(r"Used (\d+) registers", usage)[-1]),
        spilled_bytes=sum(int(n) for n in re.findall(r"(\d+) bytes spill", usage)),
        shared_bytes=binary.metadata.shared,
        tensor_instructions=", ".join(f"{found.count(name)} {name}" for name in sorted(set(found))) or "-",
        loads_128_bit=len(re.findall(LOADS_128_BIT, sass)),
        code=code(sass),
        hot_loops=tuple(hot_loops(binary.asm["ttgir"])),
    )


def run_tool(name: str, *arguments: str) -> str:
    """Output of a tool that Triton ships."""
    return subprocess.run([str(TOOLS / name), *arguments], capture_output=True, text=True, check=True).stdout
