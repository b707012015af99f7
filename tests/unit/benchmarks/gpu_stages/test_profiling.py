"""Kernels are sorted by what they are for."""

from importlib import import_module
from pkgutil import iter_modules

import pytest
import torch
from gpu_stages.profiling import OTHERS, category_of, kernel_us, medians, profiled
from measuring import DEVICE

from simcrop import kernels


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("_masked_patch_embed_fwd_kernel", "simcrop's kernels"),
        ("void at::native::vectorized_gather_kernel<16, long>", "elementwise and norms"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x256x64", "products"),
        ("nvjet_tst_128x256_64x4_2x1_v_bz_coopA_TNT", "products"),
        ("void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm>", "products"),
        ("pytorch_flash::flash_fwd_kernel", "attention"),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_bprop", "attention"),
        ("Memcpy HtoD (Pinned -> Device)", "copies"),
        ("void at::native::multi_tensor_apply_kernel", "optimizer"),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::GeluCUDAKernel>", "elementwise and norms"),
        ("triton_per_fused_native_layer_norm_3", "elementwise and norms"),
        ("something else", OTHERS),
    ],
)
def test_a_kernel_is_known_by_its_name(name: str, category: str) -> None:
    assert category_of(name) == category


def test_every_kernel_of_ours_is_known_by_its_name() -> None:
    modules = [import_module(f"simcrop.kernels.{found.name}") for found in iter_modules(kernels.__path__)]
    names = {name for module in modules for name in vars(module) if name.endswith("_kernel")}
    assert len(names) > 10
    assert {name: category_of(name) for name in names} == dict.fromkeys(names, "simcrop's kernels")


def test_a_profile_has_the_time_of_each_category() -> None:
    found = profiled(lambda: torch.ones(64, 64) @ torch.ones(64, 64), step_ms=1.0)
    assert found["categories"]["products"] > 0
    assert found["launches"] > 0
    assert found["idle_share"] is None
    assert 0 < len(found["longest"]) <= 10


def test_the_kernels_of_a_call_are_what_comes_between_a_pause_and_the_next_flush() -> None:
    long = "void at::native::" + "x" * 100
    calls = [[("mine", 3.0), (long, 1.0), ("mine", 2.0)], [("mine", 9.0)], [("mine", 6.0), ("fill", 1.0)]]
    seen = [event for call in calls for event in [("fill", 50.0), ("spin_kernel(long)", 7.0), *call]]
    assert medians(seen) == {"mine": 6.0, "x" * 60: 0.0, "fill": 0.0}


def test_kernels_are_timed_on_a_gpu_alone() -> None:
    assert (kernel_us(lambda: torch.ones(8, device=DEVICE)) == {}) == (DEVICE.type == "cpu")
