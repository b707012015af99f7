"""Predict times on an H200 from compiled code: a model of throughput and latency, good to about 30 %.

A kernel takes the longest of
- memory: bytes over bandwidth; a volume's rows are shorter than a burst of 64 bytes, which is read whole;
- its busiest multiprocessor, which has ceil(programs / multiprocessors) programs. Each program takes the longest of its
  issue slots (instructions of all warps over four schedulers), its products, its reads from the L2 cache, and its span
  (the time of a program that is alone) over the number of programs that are resident side by side.
In the span, a pipelined loop takes the longest of its reads and its computing, and any other the sum of both, with a
latency a round. Computing is the longest of issue and products, or their sum where the loop waits for each product.
Every launch begins with LAUNCH_US. Torch's own work is its launches, bytes and FLOPs.

To add a kernel, give its name a line in `WORK`: how often its loops run, outermost first in order of address, each
counted an entry, and its FLOPs, as functions of the arguments of its launch. To add a goal, give it a line in `GOALS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import chain, repeat
from math import ceil, prod
from types import SimpleNamespace
from typing import Any

from compiling import Binary, Source
from machine_code import HotLoop
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

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


WORK: Mapping[str, Work] = {
    "first_voxel_kernel": Work(),
    "masked_patch_embed_fwd_kernel": Work(lambda a: [a.P / a.BLOCK_P], lambda a: 2 * a.M * a.E * a.P),
    "masked_patch_embed_bwd_weight_kernel": Work(lambda a: [a.steps], lambda a: 2 * a.M * a.E * a.P),
    "masked_patch_mse_kernel": Work(),
    "inverse_norm_kernel": Work(lambda a: [a.E / a.BLOCK_E]),
    "sentence_patch_topk_block_kernel": Work(lambda a: [a.E / a.BLOCK_E], lambda a: 2 * a.p_shown.numel() * a.N * a.E),
    "sentence_patch_topk_mean_kernel": Work(lambda a: [a.E / a.BLOCK_E], num_rows=lambda a: a.p_shown.numel() * a.k),
    "sentence_volume_scores_fwd_kernel": Work(
        lambda a: [a.blocks, a.E / a.BLOCK_E], lambda a: 2 * a.R * a.p_inverse_n.numel() * a.E
    ),
    "cosines_bwd_sentences_kernel": Work(lambda a: [a.W / a.BLOCK_W], num_rows=lambda a: a.p_winners.numel()),
    "cosines_bwd_patches_kernel": Work(
        lambda a: [a.p_order.numel() / a.p_inverse_n.numel()],
        num_rows=lambda a: a.p_inverse_n.numel() * a.HAS_SCORES,
    ),
}


@dataclass(frozen=True)
class Goal:
    """Calls whose time is compared with the floor of KERNELS: FLOPs and bytes that no way to compute can save."""

    name: str
    calls: tuple[str, ...]
    gflop: float
    megabytes: float
    target: float | None

    @property
    def floor_us(self) -> float:
        return max(self.gflop * 1e3 / TFLOPS, self.megabytes / TBPS)


INT16, EMBED = "int16 volume, bf16", "patch_embed"
GOALS = (
    Goal("embed forward", (f"{EMBED}.embed: {INT16}",), 69.1, 135, 0.55),
    Goal("embed forward + backward", (f"{EMBED}.embed: {INT16}", f"{EMBED}.weight_gradient: {INT16}"), 138.2, 265, 0.5),
    Goal("top-k forward, S=32, N=2744, k=32", ("patch_topk.topk: bf16, S=32, N=2744, k=32",), 4.3, 138, 0.45),
    Goal("top-k forward, S=80, N=2744, k=32", ("patch_topk.topk: bf16, S=80, N=2744, k=32",), 10.8, 144, 0.3),
    Goal("top-k forward, S=32, N=686, k=32", ("patch_topk.topk: bf16, S=32, N=686, k=32",), 1.1, 37, 0.45),
    Goal("top-k backward, mean", ("patch_topk.gradient: bf16, S=32, N=2744, k=32, mean",), 0.1, 137, None),
    Goal("scores 64 x 64, N=2744, k=32", ("volume_scores.scores: bf16, 64 x 64, N=2744, k=32",), 552, 274, 0.3),
    Goal("scores 32 x 32, N=686, k=4", ("volume_scores.scores: bf16, 32 x 32, N=686, k=4",), 34.5, 36, 0.3),
    Goal("its backward", ("volume_scores.gradient: bf16, 32 x 32, N=686, k=4",), 0.4, 75, None),
    Goal("MSE, loss + gradient", (f"patch_mse.mse: {INT16}, normalised",), 0, 810, 0.7),
)


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
class Call:
    """One call of an operation: what it launches."""

    operation: str
    case: str
    arch: int
    sources: list[Source]
    arguments: list[dict[str, Any]]
    torch_work: list["TorchLaunch"]

    @property
    def name(self) -> str:
        return f"{self.operation}: {self.case}"


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
        if isinstance(result, Tensor | tuple) and not (func.is_view or "empty" in name):
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
        num_bytes += _patch_bytes(a.p_volume, a.p_first.numel() * a.P, a.PD) - _num_bytes(a.p_volume)
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
        computing, latency = each.instructions * pace, LATENCY_CYCLES * each.reads
        if each.hot:
            product, reading = products / rounds_with_product, each.hot.num_bytes / L2_BYTES_A_CYCLE
            computing = computing + product if each.hot.waits_for_products else max(computing, product)
            cycles += each.rounds * (
                max(computing, reading) if each.hot.is_pipelined else computing + reading + latency
            )
        else:
            cycles += each.rounds * (computing + latency)
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


def predictions(calls: list[Call], binaries: Mapping[Source, Binary]) -> str:
    """As markdown: what is predicted for each launch, and for each goal beside its floor."""
    if not calls:
        return ""
    times = {call.name: call_times(call, binaries) for call in calls}
    lines = ["\nPredicted for an H200, us\n", "| call | launch | issue | products | L2 | span | memory | predicted |"]
    lines.append("|---" * 8 + "|")
    for call, launched in times.items():
        for what, time in launched:
            lines.append(f"| {call} | {what} | " + " | ".join(f"{value:.1f}" for value in astuple(time)) + " |")
    lines += ["\n| goal | launches | predicted | floor | share | target | reached |", "|---" * 7 + "|"]
    for goal in GOALS:
        if all(call in times for call in goal.calls):
            every = [time for call in goal.calls for _, time in times[call]]
            predicted = sum(time.total for time in every)
            share = goal.floor_us / predicted
            target = (
                "- | -" if goal.target is None else f"{goal.target:.0%} | {'yes' if share >= goal.target else 'no'}"
            )
            lines.append(
                f"| {goal.name} | {len(every)} | {predicted:.0f} | {goal.floor_us:.1f} | {share:.0%} | {target} |"
            )
    return "\n".join(lines)


def call_times(call: Call, binaries: Mapping[Source, Binary]) -> list[tuple[str, Time]]:
    """Each launch of a call, kernels first, by name."""
    times: list[tuple[str, Time]] = []
    for given, arguments in zip(call.sources, call.arguments, strict=True):
        name = given.kernel.strip("_")
        times.append((name, kernel_time(binaries[given], load(arguments, WORK[name]))))
    return times + [(f"torch {launch.name}", torch_time(launch)) for launch in call.torch_work]


def _num_bytes(tree: object) -> int:
    """Of all tensors, each once; one that stands for another at several places is the same object."""
    tensors = {id(leaf): leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _patch_bytes(volume: Tensor, num_values: int, run: int) -> float:
    """Read of a volume for patches at random places, with rows of `run` voxels side by side."""
    visible = num_values / volume.numel()
    runs_a_burst = max(1.0, BURST_BYTES / (run * volume.element_size()))
    return volume.numel() * volume.element_size() * (1 - (1 - visible) ** runs_a_burst)
