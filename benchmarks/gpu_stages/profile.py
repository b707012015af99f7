"""Sort the kernels of a step by what they are for, and see how long the GPU has nothing to do."""

import re
from collections.abc import Callable
from typing import Any

from measuring import DEVICE
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

OTHERS = "others"
CATEGORIES = {
    "simcrop's kernels": (
        r"masked_patch|patch_product|gather_patches|sentence_|cosines_|first_voxel|inverse_norm|cast_and_sum"
        r"|finish_kernel|keys_kernel|begin_kernel"
    ),
    "attention": r"flash|fmha|attention|softmax|sdpa|cudnn_generated",
    "products": r"gemm|nvjet|cutlass|xmma|cublas|aten::(mm|addmm|bmm|linear)|splitk",
    "copies": r"memcpy|memset|copy|aten::(to|_to_copy|fill)",
    "optimizer": r"multi_tensor|foreach|adam",
    "elementwise and norms": r"elementwise|vectorized|triton_|layer_norm|reduce|gelu|dropout|cat|scatter|gather|index",
}
"""The first that a name fits."""


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
        # An annotation lasts as long as the kernels inside it, which are counted by themselves.
        if on_gpu != (event.device_type == DeviceType.CUDA) or getattr(event, "is_user_annotation", False):
            continue
        spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        milliseconds[event.key] = milliseconds.get(event.key, 0.0) + spent / 1e3
        launches += event.count
    categories: dict[str, float] = {}
    for name, spent in milliseconds.items():
        categories[category_of(name)] = categories.get(category_of(name), 0.0) + spent
    longest = sorted(milliseconds.items(), key=lambda item: -item[1])[:10]
    return {
        "categories": categories,
        "launches": launches,
        "idle_share": max(0.0, 1 - sum(milliseconds.values()) / step_ms) if on_gpu else None,
        "longest": {name[:100]: spent for name, spent in longest},
    }
