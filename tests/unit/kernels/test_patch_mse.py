"""The kernel of masked_patch_mse against its definition."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.kernel_inputs import HU, mse_call
from support.parity import DEVICE, FLOATS, ODD_SIZES, assert_parity, on_device

from simcrop.core.errors import InputError
from simcrop.core.ops import Window
from simcrop.core.reference import REFERENCE
from simcrop.kernels import TRITON, masked_patch_mse


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("volume_dtype", "window"), [(torch.int16, HU), (torch.float32, None), (torch.float16, (-1.5, 1.0))]
)
def test_every_dtype_and_window(
    dtype: torch.dtype, volume_dtype: torch.dtype, window: Window | None, normalize: bool
) -> None:
    assert_parity(mse_call(dtype=dtype, volume_dtype=volume_dtype, window=window, normalize_patches=normalize))


@ODD_SIZES
@given(st.data())
def test_odd_sizes(data: st.DataObject) -> None:
    patch = data.draw(st.tuples(st.integers(1, 5), st.integers(2, 4), st.integers(1, 9)))
    grid = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)))
    h, w, d = (p * g for p, g in zip(patch, grid, strict=True))
    assert_parity(
        mse_call(
            (h, w, d),
            patch,
            studies=data.draw(st.integers(1, 3)),
            channels=data.draw(st.integers(1, 3)),
            masked=data.draw(st.integers(1, 9)),
            volume_dtype=data.draw(st.sampled_from([torch.int16, torch.float32])),
            normalize_patches=data.draw(st.booleans()),
            seed=data.draw(st.integers(0, 2**31)),
        )
    )


def test_any_strides() -> None:
    call = mse_call(volume_dtype=torch.float32)
    volume = torch.randn(4, 3, 16, 12, 30).permute(0, 1, 2, 4, 3)[1:3, 1:, ::2, 3:12, :]
    volume = torch.cat([volume, volume], 4)[..., :20]
    strided = volume.permute(0, 1, 4, 2, 3).contiguous().permute(0, 1, 3, 4, 2)
    pred = torch.randn(7, 2, 240).transpose(0, 1)
    assert_parity(replace(call, tensors={**call.tensors, "volume": strided, "pred": pred}))


def test_a_constant_patch_is_exactly_zero() -> None:
    """Air clipped by the window has no spread: its target is 0, not rounding errors blown up by 1 / 0.001."""
    call = mse_call(window=HU)
    volume = call.tensors["volume"]
    assert volume is not None
    volume.fill_(-1300)
    call = on_device(replace(call, tensors={**call.tensors, "pred": torch.zeros(2, 7, 240)}))
    assert call.forward(TRITON)["result"].item() == 0.0


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_graph_kept_gives_the_same_gradient_twice(dtype: torch.dtype) -> None:
    call = on_device(mse_call(dtype=dtype))
    given = call.arguments()
    loss = call.forward(TRITON, given)["result"] * 100
    (first,) = torch.autograd.grad(loss, given[0], retain_graph=True)
    (second,) = torch.autograd.grad(loss, given[0])
    assert torch.equal(first, second)
    assert first.abs().max() > 0


def test_a_gradient_that_fp16_cannot_hold_unscaled() -> None:
    """2 / (B M P) is a subnormal number in fp16; times a loss scale it is not, so it is scaled before it is rounded."""
    call = on_device(mse_call((32, 32, 64), (4, 8, 32), masked=60, channels=1, dtype=torch.float16))
    grads = []
    for ops in (TRITON, REFERENCE):
        given = call.arguments()
        (call.forward(ops, given)["result"] * 2.0**16).backward()
        assert given[0] is not None
        grads.append(given[0].grad)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("sizes", [{"studies": 0}, {"masked": 0}])
def test_nothing_masked_costs_nothing(sizes: dict[str, int]) -> None:
    assert assert_parity(mse_call(**sizes))["result"].item() == 0.0


def test_the_volume_gets_no_gradient() -> None:
    call = mse_call(volume_dtype=torch.float32)
    ours = assert_parity(replace(call, wanted=("pred", "volume")))
    assert set(ours) == {"result", "gradient of pred"}


@pytest.mark.parametrize("wrong", [-1, 12])
def test_ids_out_of_range(wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    call = on_device(mse_call())
    ids = call.tensors["ids_masked"]
    assert ids is not None
    ids[1, 2] = wrong
    if DEVICE.type == "cuda":
        assert call.forward(TRITON)["result"].isnan()
        monkeypatch.setenv("SIMCROP_CHECK", "1")
    with pytest.raises(InputError, match=r"ids_masked: values .* are outside 0..11"):
        call.forward(TRITON)


def test_an_id_that_names_no_patch_makes_the_loss_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU does, where nobody waits to look at the ids first."""
    monkeypatch.setattr("simcrop.kernels.volumes.checks_ids", lambda device: False)
    call = on_device(mse_call())
    ids = call.tensors["ids_masked"]
    assert ids is not None
    ids[0, 0] = 12
    assert call.forward(TRITON)["result"].isnan()


def test_a_patch_too_large_for_a_program_is_refused() -> None:
    call = on_device(mse_call((64, 64, 16), (64, 64, 16), channels=1, masked=1))
    with pytest.raises(InputError, match=r"patch_size: 65536 values a patch; the kernel takes up to 32768"):
        call.forward(TRITON)


def test_opcheck() -> None:
    pred, volume, ids = on_device(mse_call()).arguments()
    arguments = (pred, volume, ids, [4, 3, 10], list(HU), True, True)
    torch.library.opcheck(torch.ops.simcrop.masked_patch_mse.default, arguments)


@pytest.mark.parametrize("dtype", FLOATS)
def test_fullgraph(dtype: torch.dtype) -> None:
    call = on_device(mse_call(dtype=dtype))

    def loss(*tensors: torch.Tensor) -> torch.Tensor:
        return masked_patch_mse(*tensors, **call.options) * 2

    given, again = call.arguments(), call.arguments()
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)(*given)
    compiled.backward()
    loss(*again).backward()
    assert given[0] is not None
    assert again[0] is not None
    torch.testing.assert_close(given[0].grad, again[0].grad, rtol=0, atol=0)
