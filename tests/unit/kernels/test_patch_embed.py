"""The kernels of masked_patch_embed against its definition, in every variant."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.kernel_inputs import EMBED_VARIANTS, HU, Call, embed_call
from support.parity import DEVICE, FLOATS, ODD_SIZES, assert_as_exact, assert_parity, on_device
from torch.utils._python_dispatch import TorchDispatchMode

from simcrop.core.errors import InputError
from simcrop.core.ops import Window, Windows
from simcrop.core.reference import REFERENCE
from simcrop.kernels import TRITON, masked_patch_embed
from simcrop.kernels.variants import using


# Of the module, since hypothesis draws many examples for one function.
@pytest.fixture(autouse=True, scope="module", params=EMBED_VARIANTS, ids=lambda choices: ", ".join(choices.values()))
def _variant(request: pytest.FixtureRequest) -> Iterator[None]:
    with using(**request.param):
        yield


class Seen(TorchDispatchMode):
    """Remembers which of our operators are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "simcrop":
            self.names.append(str(func).split(".")[1])
        return func(*args, **(kwargs or {}))


def changed(call: Call, **tensors: torch.Tensor | None) -> Call:
    return replace(call, tensors={**call.tensors, **tensors})


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("volume_dtype", "window"),
    [(torch.int16, HU), (torch.float32, None), (torch.float32, (-1.5, 1.0)), (torch.float16, None)],
)
def test_every_dtype_and_window(dtype: torch.dtype, volume_dtype: torch.dtype, window: Window | None) -> None:
    assert_parity(embed_call(dtype=dtype, volume_dtype=volume_dtype, window=window))


@ODD_SIZES
@given(st.data())
def test_odd_sizes(data: st.DataObject) -> None:
    patch = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 9)))
    grid = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)))
    h, w, d = (p * g for p, g in zip(patch, grid, strict=True))
    assert_parity(
        embed_call(
            (h, w, d),
            patch,
            studies=data.draw(st.integers(1, 3)),
            channels=data.draw(st.integers(1, 3)),
            embed_dim=data.draw(st.sampled_from([1, 5, 33, 130])),
            visible=data.draw(st.sampled_from([None, 1, 3, 70])),
            bias=data.draw(st.booleans()),
            positions=data.draw(st.booleans()),
            volume_dtype=data.draw(st.sampled_from([torch.int16, torch.float32])),
            seed=data.draw(st.integers(0, 2**31)),
        )
    )


def test_a_long_sum_is_split_and_added_up() -> None:
    """More visible patches than a block, more values in a patch than a block, in both passes."""
    assert_parity(embed_call((16, 16, 24), (4, 8, 8), channels=1, embed_dim=40, visible=150))


@pytest.mark.parametrize("layout", ["channels_last", "axes exchanged", "a part of a larger volume", "every second"])
def test_any_strides(layout: str) -> None:
    call = embed_call(volume_dtype=torch.float32)
    volume = call.tensors["volume"]
    assert volume is not None
    if layout == "channels_last":
        volume = volume.to(memory_format=torch.channels_last_3d)
    elif layout == "axes exchanged":
        volume = volume.permute(0, 1, 4, 2, 3).contiguous().permute(0, 1, 3, 4, 2)
    elif layout == "a part of a larger volume":
        larger = torch.randn(4, 3, 12, 14, 30)
        volume = larger[1:3, 1:, 3:11, 2:11, 5:25]
    else:
        volume = torch.randn(2, 2, 16, 9, 40)[:, :, ::2, :, ::2]
    assert not volume.is_contiguous()
    assert_parity(changed(call, volume=volume))


def test_upstream_gradients_without_memory_of_their_own() -> None:
    """Those of `.sum()` have strides of 0."""
    call = on_device(embed_call())
    grads = []
    for ops in (TRITON, REFERENCE):
        given = call.arguments()
        call.forward(ops, given)["result"].sum().backward()
        grads.append([leaf.grad for leaf in given[1:4] if leaf is not None])
    for ours, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(ours, wanted)


def test_parameters_that_are_views() -> None:
    call = embed_call()
    weight, pos = call.tensors["weight"], call.tensors["pos_embed"]
    assert weight is not None
    assert pos is not None
    transposed = weight.transpose(0, 1).contiguous().transpose(0, 1)
    assert_parity(changed(call, weight=transposed, pos_embed=torch.cat([pos, pos], 1)[:, ::2]))


def test_gradients_of_volume_and_positions() -> None:
    """The clip passes gradient inside its bounds, and at them; a repeated id counts each time."""
    call = embed_call(volume_dtype=torch.float32, window=(-1.0, 1.0))
    volume = call.tensors["volume"]
    assert volume is not None
    volume[0, 0, 0, 0, :6] = torch.tensor([-1.0, 1.0, -1.01, 1.01, 0.0, 5.0])
    ours = assert_parity(replace(call, wanted=("volume", "pos_embed")))
    assert set(ours) == {"result", "gradient of volume", "gradient of pos_embed"}
    assert_parity(replace(embed_call(volume_dtype=torch.float32, visible=None), wanted=("volume", "pos_embed")))


WINDOWS = (HU, (-150.0, 250.0), (-900.0, -400.0))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("volume_dtype", [torch.int16, torch.float32])
def test_several_windows(dtype: torch.dtype, volume_dtype: torch.dtype) -> None:
    windows = WINDOWS if volume_dtype == torch.int16 else ((-1.0, 1.0), (0.0, 2.5))
    call = embed_call(dtype=dtype, volume_dtype=volume_dtype, window=windows)
    assert_parity(call)
    assert_parity(replace(call, wanted=()))
    assert_parity(embed_call(visible=None, dtype=dtype, volume_dtype=volume_dtype, window=windows))


def test_a_voxels_gradient_is_its_sum_over_windows() -> None:
    call = embed_call(volume_dtype=torch.float32, window=((-1.0, 1.0), (0.0, 2.5)))
    volume = call.tensors["volume"]
    assert volume is not None
    volume[0, 0, 0, 0, :6] = torch.tensor([-1.0, 1.0, 0.0, 2.5, -0.5, 5.0])
    assert set(assert_parity(replace(call, wanted=("volume",)))) == {"result", "gradient of volume"}


@pytest.mark.parametrize("volume_dtype", [torch.int16, torch.float32])
def test_one_window_in_a_list_is_the_window(volume_dtype: torch.dtype) -> None:
    call = on_device(embed_call(volume_dtype=volume_dtype, window=HU))
    listed = replace(call, options={**call.options, "window": [HU]})
    for name, value in call.run(TRITON).items():
        assert torch.equal(listed.run(TRITON)[name], value), name


@pytest.mark.parametrize("trains", [True, False])
def test_patches_under_several_windows_are_gathered(trains: bool) -> None:
    call = replace(on_device(embed_call(volume_dtype=torch.float32, window=WINDOWS)), wanted=("weight",))
    with torch.set_grad_enabled(trains), Seen() as seen:
        call.run(TRITON)
    assert seen.names == [*GATHERED, *(["patch_product_gradient"] if trains else [])]


def test_nan_voxels_reach_their_token_and_no_other() -> None:
    call = embed_call(volume_dtype=torch.float32, window=(-1.0, 1.0), visible=None)
    volume = call.tensors["volume"]
    assert volume is not None
    volume[1, 0, 0, 0, 0] = float("nan")
    ours = assert_parity(replace(call, wanted=()))
    assert ours["result"].isnan().all(2).nonzero().tolist() == [[1, 0]]


@pytest.mark.parametrize("window", [HU, WINDOWS])
def test_autocast_keeps_positions_and_volume_in_fp32(window: Windows) -> None:
    call = on_device(embed_call(window=window))
    with torch.autocast(DEVICE.type, torch.float16):
        ours, wanted = call.run(TRITON), call.run(REFERENCE)
    assert ours["result"].dtype == torch.float32
    assert ours["gradient of weight"].dtype == torch.float32
    assert_as_exact(ours, wanted, call.double().run(REFERENCE))


@pytest.mark.parametrize("sizes", [{"studies": 0}, {"visible": 0}])
def test_nothing_to_embed(sizes: dict[str, int]) -> None:
    ours = assert_parity(embed_call(**sizes))
    assert ours["result"].numel() == 0
    assert not ours["gradient of weight"].any()


def test_offsets_beyond_two_to_the_31() -> None:
    """The second study lies 2**31 values after the first, in memory that is reserved and hardly touched."""
    reach = 2**31 + 32
    storage = torch.empty(reach + 1440, dtype=torch.int16, device=DEVICE)
    volume = storage.as_strided((2, 1, 8, 9, 20), (reach, 1440, 180, 20, 1))
    volume.copy_(torch.randint(-1400, 1400, volume.shape))
    call = changed(on_device(embed_call(channels=1)), volume=volume)
    with torch.no_grad():
        ours, wanted = call.forward(TRITON), call.forward(REFERENCE)
    torch.testing.assert_close(ours["result"], wanted["result"])


@pytest.mark.parametrize("wrong", [-1, 12])
def test_ids_out_of_range(wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    call = on_device(embed_call())
    ids = call.tensors["ids_keep"]
    assert ids is not None
    ids[1, 2] = wrong
    if DEVICE.type == "cuda":
        result = call.forward(TRITON)["result"]
        assert result.isnan().all(2).nonzero().tolist() == [[1, 2]]
        monkeypatch.setenv("SIMCROP_CHECK", "1")
    with pytest.raises(InputError, match=r"ids_keep: values .* are outside 0..11"):
        call.forward(TRITON)


def test_rows_that_name_no_patch_become_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU does, where nobody waits to look at the ids first."""
    monkeypatch.setattr("simcrop.kernels.volumes.checks_ids", lambda device: False)
    call = on_device(embed_call())
    ids = call.tensors["ids_keep"]
    assert ids is not None
    ids[0, 0], ids[1, 2] = -1, 12
    assert call.forward(TRITON)["result"].isnan().all(2).nonzero().tolist() == [[0, 0], [1, 2]]


GATHERED, FUSED = ["gather_patches", "patch_product"], ["masked_patch_embed"]


@pytest.mark.parametrize(
    ("embed", "volume_dtype", "trains", "expected"),
    [
        ("gather", torch.int16, True, [*GATHERED, "patch_product_gradient"]),
        ("gather", torch.int16, False, GATHERED),
        ("gather", torch.float32, True, [*GATHERED, "patch_product_gradient"]),
        ("gather", torch.float32, False, FUSED),
        ("fused", torch.int16, True, [*FUSED, "gather_patches", "patch_product_gradient"]),
        ("fused", torch.int16, False, FUSED),
    ],
)
def test_what_is_called(embed: str, volume_dtype: torch.dtype, trains: bool, expected: list[str]) -> None:
    """Without a gradient, a volume of floats is not gathered."""
    call = replace(on_device(embed_call(volume_dtype=volume_dtype)), wanted=("weight",))
    with using(embed=embed), torch.set_grad_enabled(trains), Seen() as seen:
        call.run(TRITON)
    assert seen.names == expected


def test_it_can_be_differentiated_once() -> None:
    call = on_device(embed_call())
    given = call.arguments()
    (grad,) = torch.autograd.grad(call.forward(TRITON, given)["result"].sum(), given[1], create_graph=True)
    with pytest.raises(RuntimeError, match=r"no autograd formula"):
        grad.sum().backward()


@pytest.mark.parametrize("window", [HU, WINDOWS])
def test_fullgraph(window: Windows) -> None:
    call = on_device(embed_call(window=window))

    def embed(*tensors: torch.Tensor) -> torch.Tensor:
        return masked_patch_embed(*tensors, **call.options) * 2

    given, again = call.arguments(), call.arguments()
    compiled = torch.compile(embed, backend="aot_eager", fullgraph=True)(*given)
    compiled.sum().backward()
    embed(*again).sum().backward()
    torch.testing.assert_close(compiled, embed(*again))
    for ours, wanted in zip(given[1:4], again[1:4], strict=True):
        assert ours is not None
        assert wanted is not None
        assert ours.grad is not None
        assert torch.equal(ours.grad, wanted.grad)
