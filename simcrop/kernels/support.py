"""Tell whether the kernels can run here, and list the reasons where they cannot; describe the machine to them.

The only module that imports triton. Without it, everything here and beside it can still be imported; a call says what
is missing.
"""

import contextlib
import os
from collections.abc import Generator, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from simcrop.core.errors import BackendError, InputError


class _Absent:
    """Stands for triton where there is none: kernels can be defined, and are never launched."""

    __version__ = constexpr = None

    def jit(self, kernel: Any = None, **_: Any) -> Any:
        return kernel if kernel else self.jit


# Any: launches take keywords (num_warps) and values (constexpr) that a kernel's own signature does not tell.
triton: Any
tl: Any
try:
    triton, tl = import_module("triton"), import_module("triton.language")
except ImportError:
    triton = tl = _Absent()
# As it is now, when kernels are about to be defined: a later change of the environment does not reach them.
_IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

_OLDEST = (3, 6)
MOST_REGISTERS = 255
"""Of a thread. A kernel is told that it may have all: else the assembler may save registers by spilling."""
_INTERPRETER_SMS = 4


def is_interpreted() -> bool:
    """Whether the kernels were imported with TRITON_INTERPRET=1: they run on CPU tensors, slowly, for tests."""
    return _IS_INTERPRETED


def triton_version() -> tuple[int, ...]:
    """(3, 7) for 3.7.1."""
    return tuple(int(part) for part in triton.__version__.split(".")[:2])


def why_not(device: torch.device) -> list[str]:
    """The reasons why no kernel can run on a device; empty where they can."""
    if triton.__version__ is None:
        return ["triton is not installed (pip install triton; it exists for Linux)"]
    reasons: list[str] = []
    if triton_version() < _OLDEST:
        reasons.append(f"triton {triton.__version__} is older than {'.'.join(map(str, _OLDEST))}")
    if is_interpreted():
        return reasons
    if device.type != "cuda":
        where = "this machine has no CUDA device" if not torch.cuda.is_available() else f"tensors are on {device}"
        return [*reasons, where]
    if torch.version.hip is not None:
        reasons.append("the kernels are not tested on ROCm")
    elif torch.cuda.get_device_capability(device) < (8, 0):
        major, minor = torch.cuda.get_device_capability(device)
        reasons.append(f"{torch.cuda.get_device_name(device)} has compute capability {major}.{minor}, below 8.0")
    return reasons


def require(device: torch.device, **tensors: Tensor | None) -> None:
    """Refuse what the kernels cannot compute.

    Raises:
        BackendError: no kernel can run on this device; with the reasons and a remedy.
        InputError: a tensor's dtype has no kernel here; names it.
    """
    reasons = why_not(device)
    if reasons:
        raise BackendError(
            f"the Triton kernels cannot run here: {'; '.join(reasons)}; "
            "use simcrop.core.reference, or TRITON_INTERPRET=1 to try them on a CPU"
        )
    for name, values in tensors.items():
        if values is None:
            continue
        if values.dtype == torch.float64:
            raise InputError(f"{name}: float64 has no kernel; use simcrop.core.reference")
        if values.dtype == torch.bfloat16 and is_interpreted():
            raise InputError(f"{name}: Triton's interpreter computes bfloat16 wrongly; use float32 or float16")


def checks_ids(device: torch.device) -> bool:
    """Whether ids are read and refused if out of range: always on a CPU, with SIMCROP_CHECK=1 on a GPU."""
    return device.type == "cpu" or os.environ.get("SIMCROP_CHECK") == "1"


def architecture(device: torch.device) -> int:
    """80 for compute capability 8.0, and so on. The interpreter counts as 90."""
    if device.type != "cuda":
        return 90
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def num_multiprocessors(device: torch.device) -> int:
    """Number of programs of the largest size that run side by side."""
    if device.type != "cuda":
        return _INTERPRETER_SMS
    return torch.cuda.get_device_properties(device).multi_processor_count


def dot_precision() -> str:
    """Triton's `input_precision` for a product of fp32 values, following torch.get_float32_matmul_precision.

    "highest" becomes three tf32 products, which have about the accuracy of fp32: asked for "ieee", Triton 3.7 on sm_100
    takes a single tf32 product for operands that were 16 bits wide in memory, and says nothing.
    """
    return "tf32x3" if torch.get_float32_matmul_precision() == "highest" else "tf32"


def alignment(values: Sequence[int]) -> int:
    """The largest power of two, at most 16, that divides all of `values`."""
    power = 16
    while any(value % power for value in values):
        power //= 2
    return power


def described(matrix: Tensor, rows: int, columns: int) -> Any:
    """A contiguous matrix that kernels load in blocks of `rows` x `columns`; beyond its edges they find zeros.

    Where the GPU has an engine for such copies it needs a row of a multiple of 16 bytes, from an address that is one.
    """
    return import_module("triton.tools.tensor_descriptor").TensorDescriptor.from_tensor(matrix, [rows, columns])


@contextlib.contextmanager
def on(device: torch.device) -> Generator[None]:
    """Launch on the tensors' own device, which need not be the current one."""
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        yield


def cdiv(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def power_of_two(value: int) -> int:
    """The smallest power of two that is not below `value`."""
    return 1 << (value - 1).bit_length()
