"""The kernels on a GPU alone: bf16, full sizes, equal bits from run to run, memory."""

from dataclasses import replace

import pytest
import torch
from support.choices import assert_parity_of_choice
from support.kernel_inputs import EMBED_VARIANTS, Call, embed_call, mse_call, pairs_call
from support.parity import assert_parity, on_device

from simcrop.core.reference import REFERENCE
from simcrop.kernels import TRITON
from simcrop.kernels.variants import using

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SIZE, PATCH = (224, 224, 112), (16, 16, 8)


def vit_b(volume_dtype: torch.dtype = torch.int16, studies: int = 4) -> list[Call]:
    """The five operations at the sizes of a ViT-B, in bf16."""
    dtype = torch.bfloat16
    volumes = {"channels": 1, "volume_dtype": volume_dtype, "studies": studies, "dtype": dtype}
    return [
        embed_call(SIZE, PATCH, embed_dim=768, visible=686, **volumes),
        mse_call(SIZE, PATCH, masked=2058, **volumes),
        pairs_call("sentence_patch_topk", studies=studies, sentences=80, patches=2744, features=768, k=32, dtype=dtype),
        pairs_call("sentence_volume_scores", studies=8, sentences=32, patches=686, features=768, k=4, dtype=dtype),
        pairs_call("soft_volume_scores", studies=8, sentences=32, patches=686, features=768, dtype=dtype),
    ]


@pytest.mark.parametrize("volume_dtype", [torch.int16, torch.bfloat16, torch.float32])
def test_reconstruction_at_full_size(volume_dtype: torch.dtype) -> None:
    assert_parity(vit_b(volume_dtype)[1])


def test_soft_scores_at_full_size() -> None:
    assert_parity(vit_b()[4])


@pytest.mark.parametrize("choices", EMBED_VARIANTS)
@pytest.mark.parametrize("volume_dtype", [torch.int16, torch.bfloat16, torch.float32])
def test_every_way_to_embed_at_full_size(volume_dtype: torch.dtype, choices: dict[str, str]) -> None:
    call = vit_b(volume_dtype)[0]
    with using(**choices):
        ours, again = assert_parity(call), on_device(call).run(TRITON)
    assert all(torch.equal(value, again[name]) for name, value in ours.items())


@pytest.mark.parametrize("number", [2, 3])
def test_bf16_parity_of_a_choice_at_full_size(number: int) -> None:
    """The order of scores that are nearer than their rounding is left open."""
    assert_parity_of_choice(vit_b()[number])


@pytest.mark.parametrize("number", range(5))
def test_equal_bits_from_run_to_run(number: int) -> None:
    call = on_device(vit_b()[number])
    first, second = call.run(TRITON), call.run(TRITON)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_volumes_beyond_two_to_the_31_voxels() -> None:
    """400 volumes hold 2.25e9 voxels: the last ones lie beyond what 32 bits can count."""
    call = on_device(embed_call(SIZE, PATCH, channels=1, studies=2, embed_dim=64, visible=10))
    volume = torch.zeros(400, 1, *SIZE, dtype=torch.int16, device="cuda")
    volume[-2:] = call.tensors["volume"]
    ids = call.tensors["ids_keep"]
    assert ids is not None
    far = replace(call, tensors={**call.tensors, "volume": volume, "ids_keep": ids.repeat(200, 1)})
    with torch.no_grad():
        tokens = far.forward(TRITON)["result"][-2:]
        torch.testing.assert_close(tokens, call.forward(TRITON)["result"])


@pytest.mark.parametrize("number", range(2))
def test_no_copy_of_the_volume_or_its_patches_is_made(number: int) -> None:
    """Memory beyond inputs and results stays below one float copy of what is read."""
    call = on_device(vit_b(studies=16)[number])
    call.run(TRITON)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    results = call.run(TRITON)
    torch.cuda.synchronize()
    kept = sum(value.nbytes for value in results.values())
    volume = call.tensors["volume"]
    assert volume is not None
    extra = torch.cuda.max_memory_allocated() - before - 2 * kept
    assert extra < volume.numel() * 4 * (0.25 if number == 0 else 0.75), f"{extra / 1e6:.0f} MB"


def test_another_device_than_the_current_one() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    call = embed_call().to("cuda:1")
    torch.testing.assert_close(call.forward(TRITON)["result"], call.forward(REFERENCE)["result"])
