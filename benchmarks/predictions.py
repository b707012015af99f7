"""Print what the model of benchmarks/throughput.py predicts for each launch, and for each goal beside its floor.

To add a kernel, give it a line in `WORK`, as functions of the arguments of its launch: how often its loops run, and its
FLOPs. Loops are in the order of their addresses in the machine code, an inner one after the one around it, and counted
for each time that they are entered. `Work` has more for kernels that gather rows, or whose programs differ much.
To add a goal, give it a line in `GOALS`, with the calls that it consists of: the first column of predictions has them.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from math import log2
from typing import Any

from compiling import Source
from machine_code import Binary
from throughput import TBPS, TFLOPS, Time, TorchLaunch, Work, kernel_time, load, torch_time


def _choice(a: Any) -> list[float]:
    """Loops of `best_of_row`, without ties: a pass and halvings for the groups, then for their members."""
    return [a.N / a.G, 12, 0, 0, log2(a.G), 6, 0, log2(a.K * a.M)]


WORK: Mapping[str, Work] = {
    "first_voxel_kernel": Work(),
    "gather_patches_kernel": Work(),
    "patch_product_kernel": Work(
        lambda a: [a.M * a.E / (a.BLOCK_M * a.BLOCK_E * a.PROGRAMS), a.P / a.BLOCK_P], lambda a: 2 * a.M * a.E * a.P
    ),
    "finish_kernel": Work(),
    "cast_and_sum_kernel": Work(lambda a: [a.ROWS / a.BLOCK_M]),
    "masked_patch_embed_fwd_kernel": Work(lambda a: [a.P / a.BLOCK_P], lambda a: 2 * a.M * a.E * a.P),
    "masked_patch_mse_kernel": Work(),
    "inverse_norm_kernel": Work(),
    "sentence_patch_topk_product_kernel": Work(
        lambda a: [a.E / a.BLOCK_E], lambda a: 2 * a.p_shown.numel() * a.N * a.E
    ),
    "sentence_patch_topk_choice_kernel": Work(
        lambda a: [a.E / 512, *_choice(a), a.E / a.BLOCK_E], num_rows=lambda a: a.p_shown.numel() * a.k
    ),
    "sentence_volume_scores_choice_kernel": Work(_choice),
    "soft_volume_scores_kernel": Work(lambda a: [a.N / a.BLOCK]),
    "soft_volume_scores_bwd_kernel": Work(lambda a: [a.N / a.BLOCK]),
    "sorted_blocks_kernel": Work(),
    "keys_kernel": Work(lambda a: [a.grid[0], log2(a.BLOCK) + 1]),
    "begin_kernel": Work(lambda a: [a.steps]),
    "cosines_bwd_chunks_kernel": Work(lambda a: [0]),
    "cosines_bwd_hubs_kernel": Work(lambda a: [0, 0, 0]),
    "cosines_bwd_sentences_kernel": Work(lambda a: [a.W / a.BLOCK_W], num_rows=lambda a: a.p_winners.numel()),
    "cosines_bwd_patches_kernel": Work(
        lambda a: [a.p_keys.numel() / a.p_inverse_n.numel() / a.BLOCK_W],
        num_rows=lambda a: a.p_inverse_n.numel() * a.HAS_SCORES,
    ),
}
HUB_SHARE = 0.25
"""Of all winners, where every sentence chooses the same patch of a volume, and three others."""
HUBS: Mapping[str, Work] = {
    **WORK,
    "cosines_bwd_chunks_kernel": Work(
        lambda a: [HUB_SHARE * a.chunk / a.BLOCK_W], longest=lambda a: [a.chunk / a.BLOCK_W]
    ),
    "cosines_bwd_hubs_kernel": Work(
        lambda a: [0, 0, 0],
        longest=lambda a: [a.chunk / a.BLOCK_W, a.chunk / a.BLOCK_W, a.p_sentences.shape[0] / a.chunk / a.BLOCK_W],
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
    work: Mapping[str, Work] = field(default_factory=lambda: WORK)

    @property
    def floor_us(self) -> float:
        return max(self.gflop * 1e3 / TFLOPS, self.megabytes / TBPS)


INT16 = "int16 volume, bf16"
FUSED, GATHERED = f"patch_fused.embed: {INT16}, fused", f"{INT16}, gathered, N=2744, K=2048"
GATHER, PRODUCT = f"patch_gather.gather: {GATHERED}", f"patch_product.product: {GATHERED}"
DENSE_DW, SCORES = f"patch_gradients.gradient_of_rows: {GATHERED}", "volume_scores.scores: bf16"
SCORES_BACK = "volume_scores.gradient: bf16, 32 x 32, N=686, k=4"
GOALS = (
    Goal("embed forward", (GATHER, PRODUCT), 69.1, 135, 0.55),
    Goal("the same, embed=fused", (FUSED,), 69.1, 135, 0.55),
    Goal("embed forward + backward", (GATHER, PRODUCT, DENSE_DW), 138.2, 265, 0.5),
    Goal("the same, embed_product=cublas", (GATHER, f"{PRODUCT}, cuBLAS", DENSE_DW), 138.2, 265, 0.5),
    Goal("the same, embed=fused", (FUSED, GATHER, DENSE_DW), 138.2, 265, 0.5),
    Goal("top-k forward, S=32, N=2744, k=32", ("patch_topk.topk: bf16, S=32, N=2744, k=32",), 4.3, 138, 0.45),
    Goal("top-k forward, S=80, N=2744, k=32", ("patch_topk.topk: bf16, S=80, N=2744, k=32",), 10.8, 144, 0.3),
    Goal("top-k forward, S=32, N=686, k=32", ("patch_topk.topk: bf16, S=32, N=686, k=32",), 1.1, 37, 0.45),
    Goal("top-k backward, mean", ("patch_topk.gradient: bf16, S=32, N=2744, k=32, mean",), 0.1, 137, None),
    Goal("scores 64 x 64, N=2744, k=32", (f"{SCORES}, 64 x 64, N=2744, k=32",), 552, 274, 0.3),
    Goal("scores 32 x 32, N=686, k=4", (f"{SCORES}, 32 x 32, N=686, k=4",), 34.5, 36, 0.3),
    Goal("its backward", (SCORES_BACK,), 0.4, 75, None),
    Goal("its backward, all sentences choose one patch", (SCORES_BACK,), 0.4, 75, None, HUBS),
    Goal("MSE, loss + gradient", (f"patch_mse.mse: {INT16}, normalised",), 0, 810, 0.7),
)


@dataclass(frozen=True)
class Call:
    """One call of an operation: what it launches."""

    operation: str
    case: str
    arch: int
    sources: list[Source]
    arguments: list[dict[str, Any]]
    torch_work: list[TorchLaunch]

    @property
    def name(self) -> str:
        return f"{self.operation}: {self.case}"


def predictions(calls: list[Call], binaries: Mapping[Source, Binary]) -> str:
    """As markdown: what is predicted for each launch, and for each goal beside its floor."""
    if not calls:
        return ""
    named = {call.name: call for call in calls}
    lines = ["\nPredicted for an H200, us\n", "| call | launch | issue | products | L2 | span | memory | predicted |"]
    lines.append("|---" * 8 + "|")
    for name, call in named.items():
        for what, time in call_times(call, binaries):
            lines.append(f"| {name} | {what} | " + " | ".join(f"{value:.1f}" for value in astuple(time)) + " |")
    lines += ["\n| goal | launches | predicted | floor | share | target | reached |", "|---" * 7 + "|"]
    for goal in GOALS:
        if all(name in named for name in goal.calls):
            launched = [call_times(named[name], binaries, goal.work) for name in goal.calls]
            lines.append(_compared(goal, [time for times in launched for _, time in times]))
    return "\n".join(lines)


def _compared(goal: Goal, times: list[Time]) -> str:
    predicted = sum(time.total for time in times)
    share, target, reached = goal.floor_us / predicted, "-", "-"
    if goal.target is not None:
        target, reached = f"{goal.target:.0%}", "yes" if share >= goal.target else "no"
    numbers = f"{len(times)} | {predicted:.0f} | {goal.floor_us:.1f} | {share:.0%}"
    return f"| {goal.name} | {numbers} | {target} | {reached} |"


def call_times(
    call: Call, binaries: Mapping[Source, Binary], work: Mapping[str, Work] = WORK
) -> list[tuple[str, Time]]:
    """Each launch of a call, kernels first, by name."""
    times: list[tuple[str, Time]] = []
    for given, arguments in zip(call.sources, call.arguments, strict=True):
        name = given.kernel.strip("_")
        if name not in work:
            raise KeyError(f"{name}: add a line to WORK in benchmarks/predictions.py")
        times.append((name, kernel_time(binaries[given], load(arguments, work[name]))))
    return times + [(f"torch {launch.name}", torch_time(launch)) for launch in call.torch_work]
