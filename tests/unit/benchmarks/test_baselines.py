"""Baselines of the kernels compute the same, as far as that can be seen without a GPU."""

from dataclasses import replace

import pytest
import torch
from baselines import EAGER
from gather_window import embed_gather_kernel
from support.kernel_inputs import embed_call, mse_call, pairs_call
from support.parity import assert_as_exact, on_device

from simcrop.core.reference import REFERENCE

CALLS = {
    "masked_patch_embed": embed_call(visible=7),
    "sentence_patch_topk": pairs_call("sentence_patch_topk"),
    "sentence_volume_scores": pairs_call("sentence_volume_scores"),
    "masked_patch_mse": mse_call(),
}


@pytest.mark.parametrize(("op", "name"), [(op, name) for op, functions in EAGER.items() for name in functions])
def test_a_baseline_computes_the_operation(op: str, name: str) -> None:
    found = CALLS[op].run(replace(REFERENCE, **{op: EAGER[op][name]}))
    for key, expected in CALLS[op].run(REFERENCE).items():
        torch.testing.assert_close(found[key], expected, atol=1e-4, rtol=1e-4, msg=key)


@pytest.mark.parametrize("volume_dtype", [torch.int16, torch.float32])
def test_the_baseline_with_a_kernel_computes_the_operation(volume_dtype: torch.dtype) -> None:
    call = on_device(embed_call(visible=7, volume_dtype=volume_dtype))
    call = replace(call, wanted=("weight", "bias", "pos_embed"))
    ours = call.run(replace(REFERENCE, masked_patch_embed=embed_gather_kernel))
    assert_as_exact(ours, call.run(REFERENCE), call.double().run(REFERENCE))
