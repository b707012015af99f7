"""Time a function and measure its memory, on a GPU and on a CPU."""

import platform
import weakref
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
H200_TFLOPS, H200_TBPS = 788.0, 4.3
"""Measured ceilings: bf16 products, and copies."""


def device_milliseconds(function: Callable[[], object], *, rounds: int = 50) -> float:
    """Median time on the GPU by events, launches not counted: they are issued while a flush of the cache still runs."""
    flush = torch.empty(64 * 2**20, dtype=torch.int32, device=DEVICE)
    for _ in range(5):
        function()
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(rounds)]
    for start, end in pairs:
        flush.zero_()
        start.record()
        function()
        end.record()
    torch.cuda.synchronize()
    return median(start.elapsed_time(end) for start, end in pairs)


def peak_bytes(function: Callable[[], object]) -> int:
    """The most memory held beyond what was there before the call."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with _Storages() as seen:
        function()
    return seen.peak


class _Storages(TorchDispatchMode):
    """Counts the storages that operations return while they live; what a library allocates inside is not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.peak = 0
        self.known: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {value.untyped_storage().data_ptr() for value in _tensors((args, kwargs or {}))}
        result = func(*args, **(kwargs or {}))
        for value in _tensors(result):
            storage = value.untyped_storage()
            address = storage.data_ptr()
            if address and address not in given and address not in self.known:
                self.known[address] = storage.nbytes()
                self.held += storage.nbytes()
                self.peak = max(self.peak, self.held)
                weakref.finalize(storage, self._forget, address)
        return result

    def _forget(self, address: int) -> None:
        self.held -= self.known.pop(address, 0)


def _tensors(tree: object) -> list[torch.Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def hardware() -> str:
    """One line: what was measured on."""
    if DEVICE.type == "cuda":
        import triton

        driver = torch.cuda.get_device_properties(DEVICE)
        return (
            f"{torch.cuda.get_device_name(DEVICE)} ({driver.total_memory / 2**30:.0f} GiB), torch {torch.__version__}, "
            f"Triton {triton.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
        )
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in cpus.splitlines() if line.startswith("model name")]
    return (
        f"{models[0] if models else platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )


def versions(*packages: str) -> str:
    """Those of the packages that are installed, with their versions."""
    found: list[str] = []
    for package in packages:
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)
