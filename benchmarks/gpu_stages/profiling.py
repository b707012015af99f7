"""Time the kernels of a call; sort those of a step by what they are for, and see how long the GPU has nothing to do."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from measuring import DEVICE, flush_buffer
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

OTHERS = "others"
CATEGORIES = {
    "simcrop's kernels": (
        r"masked_patch|patch_product|gather_patches|sentence_|cosines_|first_voxel|inverse_norm|cast_and_sum"
        r"|finish_kernel|keys_kernel|begin_kernel|sorted_blocks|volume_scores_"
    ),
    "attention": r"flash|fmha|attention|softmax|sdpa|cudnn_generated",
    "products": r"gemm|nvjet|cutlass|xmma|cublas|aten::(mm|addmm|bmm|linear)|splitk",
    "copies": r"memcpy|memset|copy|aten::(to|_to_copy|fill)",
    "optimizer": r"multi_tensor|foreach|adam",
    "elementwise and norms": r"elementwise|vectorized|triton_|layer_norm|reduce|gelu|dropout|cat|scatter|gather|index",
}
"""The first that a name fits."""
_PAUSE = "spin_kernel"
"""What `torch.cuda._sleep` launches; between two calls it comes after the flush."""
_LONGEST_NAME = 60


def category_of(name: str) -> str:
    """Where a kernel's time is counted."""
    return next((what for what, names in CATEGORIES.items() if re.search(names, name, re.IGNORECASE)), OTHERS)


def profiled(run: Callable[[], object], step_ms: float) -> dict[str, Any]:
    """Profile one call.

    Args:
        run: one step, already warm.
        step_ms: how long it takes without a profiler, of which the rest is idle.

    Returns:
        `categories`: ms of each; `launches`; `idle_share` of the step, on a GPU; `longest`: ms of the ten longest.
    """
    on_gpu = DEVICE.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as seen:
        run()
    milliseconds: dict[str, float] = {}
    launches = 0
    for event in seen.key_averages():
        if on_gpu != (event.device_type == DeviceType.CUDA) or _is_annotation(event):
            continue
        spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        milliseconds[event.key] = milliseconds.get(event.key, 0.0) + spent / 1e3
        launches += event.count
    categories: dict[str, float] = {}
    for name, spent in milliseconds.items():
        categories[category_of(name)] = categories.get(category_of(name), 0.0) + spent
    longest = sorted(_by_short_name(milliseconds.items()).items(), key=lambda item: -item[1])[:10]
    return {
        "categories": categories,
        "launches": launches,
        "idle_share": max(0.0, 1 - sum(milliseconds.values()) / step_ms) if on_gpu else None,
        "longest": dict(longest),
    }


def _is_annotation(event: Any) -> bool:
    """Whether it is none by itself: it lasts as long as the kernels inside it."""
    return getattr(event, "is_user_annotation", False)


def kernel_us(function: Callable[[], object], *, rounds: int = 5) -> dict[str, float]:
    """Microseconds of each kernel of a call with a cold cache, medians; none without a GPU or where profiling fails."""
    if DEVICE.type != "cuda":
        return {}
    flush = flush_buffer()
    with suppress(Exception):  # the time of the whole is worth having without it
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            for _ in range(rounds):
                flush.zero_()
                torch.cuda._sleep(1000)
                function()
            torch.cuda.synchronize()
        events = [e for e in seen.events() or () if e.device_type == DeviceType.CUDA and not _is_annotation(e)]
        events.sort(key=lambda event: event.time_range.start)
        return medians([(event.name, event.time_range.elapsed_us()) for event in events])
    return {}


def medians(kernels: list[tuple[str, float]]) -> dict[str, float]:
    """The time of each kernel of a call.

    Args:
        kernels: names and times in order: a flush, a pause and a call, again and again.

    Returns:
        Short name -> the median of the calls, the longest first.
    """
    calls = [_by_short_name(call) for call in _calls(kernels)]
    found = {name: median(call.get(name, 0.0) for call in calls) for call in calls for name in call}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _calls(kernels: list[tuple[str, float]]) -> Iterator[list[tuple[str, float]]]:
    """What comes between a pause and the next flush."""
    pauses = [index for index, (name, _) in enumerate(kernels) if _PAUSE in name]
    for begin, end in pairwise([*pauses, len(kernels) + 1]):
        yield kernels[begin + 1 : end - 1]


def _by_short_name(times: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Sums by names without what torch's all begin with, and cut."""
    found: dict[str, float] = {}
    for name, spent in times:
        short = name.removeprefix("void ").replace("at::native::", "")[:_LONGEST_NAME]
        found[short] = found.get(short, 0.0) + spent
    return found
