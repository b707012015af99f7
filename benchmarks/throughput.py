"""A model of the time that a launch takes on an H200, from its compiled code.

On one, measured times were 1.2 to 1.9 times as long (benchmarks/results/gpu-notes.md). So it tells which of two is
better, and not how fast either is.

A kernel takes the longest of
- memory: bytes over bandwidth. A volume's rows are shorter than a burst of 64 bytes, which is read whole;
- its busiest multiprocessor, which has ceil(programs / multiprocessors) programs. Each takes the longest of its issue
  slots (instructions of all warps over four schedulers), its products, its reads from the L2 cache, and its span (the
  time of a program that is alone) over the number of programs that are resident side by side;
- the span of the program whose loops run longest.
In the span, a round of a pipelined loop takes the longest of reading and computing, and of any other loop the sum of
both and a latency. Computing is the longest of issue and products, or their sum where the loop waits for each product.
Every launch begins with LAUNCH_US. Torch's own work is its launches, bytes and FLOPs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from math import ceil, prod
from types import SimpleNamespace
from typing import Any

from machine_code import Binary, HotLoop
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from triton.tools.tensor_descriptor import TensorDescriptor

SMS, CLOCK_HZ, TFLOPS, TBPS = 132, 1.755e9, 788.0, 4.3
"""Of an H200: multiprocessors, clock, bf16 products and copies as measured."""
L2_BYTES_A_CYCLE = 30.0
"""That reach one multiprocessor when all read: 7 TB/s."""
BURST_BYTES = 64
LATENCY_CYCLES = 800
CYCLES_A_WARP = 2.5
"""Between two instructions of one warp: most wait for the one before."""
LAUNCH_US = 1.6
TORCH_LAUNCHES = {"sort": 8}
"""Where an operation is more than one."""
LIBRARY_SHARE = 0.89
"""Of the measured peak, for products of the sizes met here."""


@dataclass(frozen=True)
class Work:
    """What the code does not tell of a kernel: how often its loops run, and its FLOPs, by the launch's arguments."""

    trips: Callable[[Any], Sequence[float]] = lambda a: ()
    flops: Callable[[Any], float] = lambda a: 0.0
    num_rows: Callable[[Any], float] | None = None
    """Rows of `p_patches` that are read, where it is not each of them once."""
    longest: Callable[[Any], Sequence[float]] | None = None
    """Trips of the program that runs longest, where they differ much."""


@dataclass(frozen=True)
class Load:
    """What one launch has to do."""

    programs: int
    trips: tuple[float, ...]
    longest: tuple[float, ...]
    num_bytes: float
    flops: float


@dataclass(frozen=True)
class Time:
    """Microseconds of a launch, were each of these all that it waits for, and altogether."""

    issue: float
    products: float
    l2: float
    span: float
    memory: float
    total: float


@dataclass(frozen=True)
class TorchLaunch:
    """What one of torch's own operations has to do."""

    name: str
    num_bytes: float
    flops: float


class TorchWork(TorchDispatchMode):
    """Finds what torch itself would launch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[TorchLaunch] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        name = func.overloadpacket.__name__
        if isinstance(result, Tensor | tuple) and not (func.is_view or "empty" in name or "view" in name):
            count = flop_registry.get(func.overloadpacket)
            flops = count(*args, **given, out_val=result) if count else 0
            self.found.append(TorchLaunch(name, float(_num_bytes((args, given, result))), float(flops)))
        return result


def load(arguments: dict[str, Any], work: Work) -> Load:
    """What a launch has to do, from its arguments: each tensor is read or written once."""
    a = SimpleNamespace(**arguments)
    trips = tuple(work.trips(a))
    num_bytes = float(_num_bytes(arguments))
    if "p_volume" in arguments:
        patches = a.p_first if "p_first" in arguments else a.p_ids
        num_bytes += _patch_bytes(a.p_volume, patches.numel() * a.P, a.PD) - _num_bytes(a.p_volume)
    if work.num_rows:
        read = work.num_rows(a) * a.E * a.p_patches.element_size()
        num_bytes += min(0.0, read - _num_bytes(a.p_patches))
    longest = tuple(work.longest(a)) if work.longest else trips
    return Load(prod(a.grid), trips, longest, num_bytes, work.flops(a))


def kernel_time(binary: Binary, given: Load) -> Time:
    """Of one launch."""
    segments = _segments(binary, given.trips)
    products = given.flops / given.programs / (TFLOPS * 1e12 / SMS / CLOCK_HZ)
    issue = sum(each.rounds * each.instructions for each in segments) * binary.num_warps / 4
    l2 = sum(each.rounds * each.hot.num_bytes for each in segments if each.hot) / L2_BYTES_A_CYCLE
    busiest = ceil(given.programs / SMS)
    span = _span(binary, segments, products) / min(busiest, _resident(binary))
    us = [busiest * cycles / CLOCK_HZ * 1e6 for cycles in (issue, products, l2, span)]
    memory = given.num_bytes / TBPS / 1e6
    longest = _span(binary, _segments(binary, given.longest), products) / CLOCK_HZ * 1e6
    return Time(*us, memory, LAUNCH_US + max(*us, memory, longest))


@dataclass(frozen=True)
class _Segment:
    """A loop, or the code outside loops, and how often a program runs it."""

    rounds: float
    instructions: int
    reads: bool
    hot: HotLoop | None = None


def _segments(binary: Binary, trips: Sequence[float]) -> list[_Segment]:
    segments = [_Segment(1, binary.code.straight, reads=True)]
    around: list[float] = []
    hot = iter(binary.hot_loops)
    for loop, trip in zip(binary.code.loops, chain(trips, repeat(1.0)), strict=False):
        around[loop.depth :] = [trip]
        product = next(hot, None) if loop.tensor else None
        segments.append(_Segment(prod(around), loop.instructions, loop.loads > 0, product))
    return segments


def _span(binary: Binary, segments: list[_Segment], products: float) -> float:
    """Cycles of a program that is alone on its multiprocessor."""
    pace = max(binary.num_warps / 4, CYCLES_A_WARP)
    rounds_with_product = sum(each.rounds for each in segments if each.hot)
    cycles = 0.0
    for each in segments:
        computing, latency = each.instructions * pace, LATENCY_CYCLES if each.reads or each.hot else 0
        if each.hot is None:
            cycles += each.rounds * (computing + latency)
            continue
        product, reading = products / rounds_with_product, each.hot.num_bytes / L2_BYTES_A_CYCLE
        computing = computing + product if each.hot.waits_for_products else max(computing, product)
        one = max(computing, reading) if each.hot.is_pipelined else computing + reading + latency
        cycles += each.rounds * one
    return cycles


def _resident(binary: Binary) -> int:
    """Programs side by side on one multiprocessor."""
    registers = binary.num_warps * 32 * (-(-binary.registers // 8) * 8)
    return max(1, min(65536 // registers, 233472 // (binary.shared_bytes + 1024), 64 // binary.num_warps, 32))


def torch_time(launch: TorchLaunch) -> Time:
    """Of one of torch's own operations."""
    launches = TORCH_LAUNCHES.get(launch.name, 1)
    products, memory = launch.flops / (TFLOPS * LIBRARY_SHARE) / 1e6, launches * launch.num_bytes / TBPS / 1e6
    return Time(0.0, products, 0.0, 0.0, memory, launches * LAUNCH_US + max(products, memory))


def _num_bytes(tree: object) -> int:
    """Of all tensors, each once; one that stands for another at several places is the same object."""
    leaves = [leaf.base if isinstance(leaf, TensorDescriptor) else leaf for leaf in tree_leaves(tree)]
    tensors = {id(leaf): leaf for leaf in leaves if isinstance(leaf, Tensor)}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _patch_bytes(volume: Tensor, num_values: int, run: int) -> float:
    """Read of a volume for patches at random places, with rows of `run` voxels side by side."""
    visible = num_values / volume.numel()
    runs_a_burst = max(1.0, BURST_BYTES / (run * volume.element_size()))
    return volume.numel() * volume.element_size() * (1 - (1 - visible) ** runs_a_burst)
