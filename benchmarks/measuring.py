"""Time a function and measure its memory, on a GPU and on a CPU; measure what the machine can do at best."""

import platform
import re
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import quantiles
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
_FASTEST_CLOCK_HZ = 3e9
"""No GPU ticks faster, so that a wait counted in its ticks is never shorter than asked for."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a call: the median, and the quartiles around it.

    Attributes:
        is_captured: measured as a CUDA graph, so that launches cost nothing.
    """

    median: float
    low: float
    high: float
    is_captured: bool = False

    @classmethod
    def of(cls, milliseconds: Sequence[float], *, is_captured: bool = False) -> "Timing":
        """The summary of two measurements or more."""
        low, middle, high = quantiles(milliseconds, n=4, method="inclusive")
        return cls(middle, low, high, is_captured)


def timed(function: Callable[[], object], *, rounds: int = 30, captures: bool = True) -> Timing:
    """Time a function where it runs: by events on a GPU, by the clock on a CPU, where it should have run before."""
    if DEVICE.type == "cuda":
        return device_timing(function, rounds=rounds, captures=captures)
    seconds: list[float] = []
    for _ in range(max(2, rounds)):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return Timing.of([1e3 * each for each in seconds])


def device_timing(function: Callable[[], object], *, rounds: int = 30, captures: bool = True) -> Timing:
    """Time on the GPU by events, with a cold cache and without the cost of launching.

    The function is replayed as a CUDA graph. One that cannot be captured, since it waits for the GPU, or is not to be,
    is launched as it is. Before either the GPU idles for as long as the host needs to be ahead of it.
    """
    replay = captured(function) if captures else None
    call = replay or function
    flush = flush_buffer()
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    began = time.perf_counter()
    call()
    idle = int((2 * (time.perf_counter() - began) + 50e-6) * _FASTEST_CLOCK_HZ)
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(rounds)]
    for start, end in pairs:
        flush.zero_()
        torch.cuda._sleep(idle)
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return Timing.of([start.elapsed_time(end) for start, end in pairs], is_captured=replay is not None)


def flush_buffer() -> torch.Tensor:
    """More than a cache holds: written to, it leaves nothing else there."""
    return torch.empty(64 * 2**20, dtype=torch.int32, device=DEVICE)


def captured(function: Callable[[], object]) -> Callable[[], None] | None:
    """The function as a CUDA graph; None where it waits for the GPU, or cannot be captured for another reason."""
    here, beside, before = torch.cuda.current_stream(), torch.cuda.Stream(), torch.cuda.get_sync_debug_mode()
    beside.wait_stream(here)
    try:
        with torch.cuda.stream(beside):
            function()
            # Asked first: an attempt to capture what waits leaves the allocator in doubt.
            torch.cuda.set_sync_debug_mode("error")
            function()
    except RuntimeError:
        return None
    finally:
        torch.cuda.set_sync_debug_mode(before)
        here.wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            function()
    except RuntimeError:
        torch.cuda.set_stream(here)  # a capture that failed stays on its own
        torch.cuda.synchronize()
        return None
    return graph.replay


@dataclass(frozen=True)
class Ceilings:
    """The most that a device was seen to do: products in bf16, and copies with reads and writes counted."""

    tflops: float
    tb_per_s: float

    def floor_ms(self, flops: float, num_bytes: float) -> float:
        """The least time that so much work can take."""
        return 1e3 * max(flops / (1e12 * self.tflops), num_bytes / (1e12 * self.tb_per_s))


@cache
def ceilings() -> Ceilings | None:
    """Measure the ceilings once; a CPU has none here."""
    return measured_ceilings() if DEVICE.type == "cuda" else None


def measured_ceilings(*, num_bytes: int = 2**31, side: int = 8192, rounds: int = 20) -> Ceilings:
    """Copy so many bytes, and multiply square matrices of random numbers (with zeros, a GPU clocks higher).

    The bytes are read and written by a copy and by an elementwise kernel, and the faster counts: captured as a CUDA
    graph, a copy may be left to an engine that is slower than a kernel.
    """
    source = torch.ones(num_bytes // 4, device=DEVICE)
    target = torch.empty_like(source)
    copy = timed(lambda: target.copy_(source), rounds=rounds, captures=False)
    kernel = timed(lambda: torch.add(source, 1, out=target), rounds=rounds)
    a, b = (torch.randn(side, side, device=DEVICE).bfloat16() for _ in range(2))
    product = timed(lambda: a @ b, rounds=rounds)
    return Ceilings(2e-9 * side**3 / product.median, 2e-9 * num_bytes / min(copy.median, kernel.median))


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

        properties = torch.cuda.get_device_properties(DEVICE)
        return (
            f"{torch.cuda.get_device_name(DEVICE)} ({properties.total_memory / 2**30:.0f} GiB), driver {_driver()}, "
            f"torch {torch.__version__}, Triton {triton.__version__}, CUDA {torch.version.cuda}, "
            f"cuDNN {torch.backends.cudnn.version()}"
        )
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in cpus.splitlines() if line.startswith("model name")]
    return (
        f"{models[0] if models else platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )


def _driver() -> str:
    """The version of NVIDIA's kernel module."""
    path = Path("/proc/driver/nvidia/version")
    found = re.search(r"Module.*?(\d+\.[\d.]+)", path.read_text(encoding="utf-8")) if path.exists() else None
    return found[1] if found else "unknown"


def versions(*packages: str) -> str:
    """Those of the packages that are installed, with their versions."""
    found: list[str] = []
    for package in packages:
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)
