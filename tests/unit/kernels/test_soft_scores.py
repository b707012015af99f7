"""The kernels of soft_volume_scores against its definition."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.kernel_inputs import Call, pairs_call
from support.parity import FLOATS, ODD_SIZES, assert_parity, on_device
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.core.reference import REFERENCE
from simcrop.kernels import TRITON

SOFT = "soft_volume_scores"


def tensors_of(call: Call) -> tuple[Tensor, Tensor]:
    """Sentences and patches, to be changed in place."""
    sentences, patches = call.tensors["sentences"], call.tensors["patches"]
    assert sentences is not None
    assert patches is not None
    return sentences, patches


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("temperature", [0.02, 1])
@pytest.mark.parametrize("patches", [1, 150])
def test_temperature_and_dtype(dtype: torch.dtype, temperature: float, patches: int) -> None:
    assert_parity(pairs_call(SOFT, dtype=dtype, temperature=temperature, patches=patches))


def test_more_patches_than_a_program_reads_at_once() -> None:
    """The best patch of one volume is among the last, so that the sum before it is scaled down."""
    call = pairs_call(SOFT, sentences=2, patches=2100, features=9, temperature=0.02, masked=0)
    sentences, patches = tensors_of(call)
    patches[0, 2090] = sentences[0, 0]
    assert_parity(call)


@pytest.mark.parametrize("sentences", [21, 9])
def test_several_chunks(sentences: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 21 sentences 20 are compared with a volume at a time, then one; 9 with two volumes, in the end with one."""
    monkeypatch.setattr("simcrop.kernels.soft_scores.MOST_PRODUCTS", 800)
    assert_parity(pairs_call(SOFT, studies=1, volumes=5, sentences=sentences, patches=40, features=12))


def test_mixed_dtypes() -> None:
    call = pairs_call(SOFT, dtype=torch.float16)
    sentences, patches = tensors_of(call)
    assert_parity(replace(call, tensors={"sentences": sentences.float(), "patches": patches}))


@ODD_SIZES
@given(st.data())
def test_odd_sizes(data: st.DataObject) -> None:
    assert_parity(
        pairs_call(
            SOFT,
            studies=data.draw(st.integers(1, 3)),
            volumes=data.draw(st.integers(1, 3)),
            sentences=data.draw(st.integers(1, 20)),
            patches=data.draw(st.integers(1, 140)),
            features=data.draw(st.integers(1, 80)),
            temperature=data.draw(st.sampled_from([0.02, 0.3, 1.0])),
            masked=data.draw(st.sampled_from([0.0, 0.5, 1.0])),
            seed=data.draw(st.integers(0, 2**31)),
        )
    )


@pytest.mark.parametrize("wanted", [("sentences",), ("patches",), ()])
def test_gradients_of_one_side(wanted: tuple[str, ...]) -> None:
    ours = assert_parity(replace(pairs_call(SOFT), wanted=wanted))
    assert {name for name in ours if "gradient" in name} == {f"gradient of {name}" for name in wanted}


@pytest.mark.parametrize("number", [1, 6])
def test_zero_patches_have_the_lowest_cosine_and_no_gradient(number: int) -> None:
    call = pairs_call(SOFT, patches=6, temperature=1.0, masked=0)
    sentences, patches = tensors_of(call)
    sentences[0, 0], patches[0, :number] = 0.0, 0.0
    ours = assert_parity(call)
    assert not ours["gradient of sentences"][0, 0].any()
    assert not ours["gradient of patches"][0, :number].any()


def test_a_nan_patch_reaches_the_result() -> None:
    call = pairs_call(SOFT, masked=0, patches=150)
    tensors_of(call)[1][0, 130, 1] = float("nan")
    ours = assert_parity(replace(call, wanted=()))
    assert ours["result"].isnan().all(2).tolist() == [[True, False]] * 2


def test_masked_sentences_may_hold_anything() -> None:
    call = pairs_call(SOFT, masked=0)
    sentences, _ = tensors_of(call)
    sentences[0, 1], sentences[1] = float("nan"), float("nan")
    mask = torch.tensor([[True, False, True, True, True], [False] * 5])
    ours = assert_parity(replace(call, options={**call.options, "sentence_mask": mask}))
    assert all(value.isfinite().all() for value in ours.values())
    assert not ours["gradient of sentences"][1].any()


def test_strides_and_gradients_without_memory() -> None:
    call = on_device(pairs_call(SOFT, masked=0))
    strided = {name: value.mT.contiguous().mT for name, value in call.tensors.items() if value is not None}
    grads = []
    for ops in (TRITON, REFERENCE):
        given = replace(call, tensors=strided).arguments()
        replace(call, tensors=strided).forward(ops, given)["result"].sum().backward()
        grads.append([leaf.grad for leaf in given if leaf is not None])
    for ours, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize("sizes", [{"studies": 0, "volumes": 2}, {"sentences": 0}, {"volumes": 0}, {"features": 0}])
def test_nothing_to_compare(sizes: dict[str, int]) -> None:
    assert_parity(replace(pairs_call(SOFT, **sizes), wanted=()))


@pytest.mark.parametrize("sizes", [{"studies": 0, "volumes": 2}, {"sentences": 0}])
def test_patches_without_a_sentence_get_a_gradient_of_zero(sizes: dict[str, int]) -> None:
    assert not assert_parity(pairs_call(SOFT, **sizes))["gradient of patches"].any()


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="temperature: 0 is not above 0"):
        on_device(pairs_call(SOFT, temperature=0)).forward(TRITON)


def test_autocast_leaves_the_scores_alone() -> None:
    call = on_device(pairs_call(SOFT))
    with torch.autocast(call.tensors["patches"].device.type, torch.float16):  # type: ignore[union-attr]
        rounded = call.forward(TRITON)["result"]
    assert torch.equal(rounded, call.forward(TRITON)["result"])


def test_opcheck() -> None:
    sentences, patches = on_device(pairs_call(SOFT, masked=0, patches=9)).arguments()
    torch.library.opcheck(torch.ops.simcrop.soft_volume_scores.default, (sentences, patches, 0.1))


def test_sums_over_many_patches_keep_what_fp32_can_tell() -> None:
    assert_parity(pairs_call(SOFT, studies=2, volumes=4, sentences=4, patches=22000, features=8, temperature=0.05))
