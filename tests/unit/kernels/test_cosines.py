"""The kernels of sentence_patch_topk and sentence_volume_scores against their definitions, where they are alike."""

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
from simcrop.kernels import TRITON, sentence_patch_topk, sentence_volume_scores, soft_volume_scores

TOPK, SCORES = OPS = ("sentence_patch_topk", "sentence_volume_scores")


def with_tensors(call: Call, **tensors: Tensor) -> Call:
    return replace(call, tensors={**call.tensors, **tensors})


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("k", "patches"), [(1, 7), (3, 150), (7, 7)])
def test_k_and_dtype(op: str, dtype: torch.dtype, k: int, patches: int) -> None:
    assert_parity(pairs_call(op, dtype=dtype, k=k, patches=patches))


@pytest.mark.parametrize("op", OPS)
def test_mixed_dtypes(op: str) -> None:
    """The product is in the lower dtype: fp32 sentences are rounded to the patches' fp16."""
    call = pairs_call(op, dtype=torch.float16)
    sentences = call.tensors["sentences"]
    assert sentences is not None
    assert_parity(with_tensors(call, sentences=sentences.float()))


@ODD_SIZES
@given(st.data())
def test_odd_sizes(data: st.DataObject) -> None:
    patches = data.draw(st.integers(1, 140))
    assert_parity(
        pairs_call(
            data.draw(st.sampled_from(OPS)),
            studies=data.draw(st.integers(1, 3)),
            sentences=data.draw(st.integers(1, 20)),
            patches=patches,
            features=data.draw(st.integers(4, 80)),
            k=data.draw(st.integers(1, min(patches, 4))),
            masked=data.draw(st.sampled_from([0.0, 0.5])),
            seed=data.draw(st.integers(0, 2**31)),
        )
    )


@pytest.mark.parametrize("op", OPS)
def test_a_single_study(op: str) -> None:
    assert_parity(pairs_call(op, studies=1, sentences=3, patches=40))


@pytest.mark.slow
@pytest.mark.parametrize("op", OPS)
def test_the_largest_k(op: str) -> None:
    assert_parity(pairs_call(op, sentences=3, patches=300, features=16, k=128))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("wanted", [("sentences",), ("patches",), ()])
def test_gradients_of_one_side(op: str, wanted: tuple[str, ...]) -> None:
    ours = assert_parity(replace(pairs_call(op), wanted=wanted))
    assert {name for name in ours if "gradient" in name} == {f"gradient of {name}" for name in wanted}


@pytest.mark.parametrize("op", OPS)
def test_a_nan_patch_reaches_the_result(op: str) -> None:
    call = pairs_call(op, masked=0, patches=150)
    patches = call.tensors["patches"]
    assert patches is not None
    patches[0, 130, 1] = float("nan")
    ours = assert_parity(replace(call, wanted=()))
    if op == TOPK:
        assert (ours["indices"][0, :, 0] == 130).all()
        assert ours["scores"][0, :, 0].isnan().all()
        assert not ours["scores"][1].isnan().any()
    else:
        assert ours["result"].isnan().all(2).tolist() == [[True, False]] * 2


@pytest.mark.parametrize("op", OPS)
def test_zero_rows_score_zero_and_get_no_gradient(op: str) -> None:
    call = pairs_call(op, patches=6, k=6, masked=0)
    sentences, patches = call.tensors["sentences"], call.tensors["patches"]
    assert sentences is not None
    assert patches is not None
    sentences[0, 0], patches[0, 5] = 0.0, 0.0
    ours = assert_parity(call, of=("scores", "result"))
    assert not ours["gradient of sentences"][0, 0].any()
    assert not ours["gradient of patches"][0, 5].any()


@pytest.mark.parametrize("op", OPS)
def test_masked_sentences_may_hold_anything(op: str) -> None:
    """NaN in a masked row reaches neither results nor gradients."""
    call = pairs_call(op, masked=0)
    sentences = call.tensors["sentences"]
    assert sentences is not None
    sentences[0, 1], sentences[1] = float("nan"), float("nan")
    mask = torch.tensor([[True, False, True, True, True], [False] * 5])
    ours = assert_parity(replace(call, options={**call.options, "sentence_mask": mask}))
    assert all(value.isfinite().all() for value in ours.values())
    assert not ours["gradient of sentences"][1].any()


@pytest.mark.parametrize("op", OPS)
def test_strides_and_gradients_without_memory(op: str) -> None:
    call = on_device(pairs_call(op, masked=0))
    sentences, patches = (value.transpose(1, 2).contiguous().transpose(1, 2) for value in call.tensors.values())
    call = with_tensors(call, sentences=sentences, patches=patches)
    grads = []
    for ops in (TRITON, REFERENCE):
        given = call.arguments()
        sum(value.sum() for value in call.forward(ops, given).values() if value.requires_grad).backward()
        grads.append([leaf.grad for leaf in given if leaf is not None])
    for ours, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("sizes", [{"studies": 0}, {"sentences": 0}])
def test_nothing_to_compare(op: str, sizes: dict[str, int]) -> None:
    assert_parity(pairs_call(op, **sizes, volumes=2 if op == SCORES else None))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(("k", "patches"), [(0, 9), (10, 9), (129, 200)])
def test_k_outside_its_range(op: str, k: int, patches: int) -> None:
    with pytest.raises(InputError, match=rf"k: {k} is outside 1..{min(patches, 128)} \(patches: {patches}\)"):
        on_device(pairs_call(op, k=k, patches=patches)).forward(TRITON)


def test_opcheck() -> None:
    sentences, patches = on_device(pairs_call(TOPK, masked=0, patches=9)).arguments()
    assert sentences is not None
    shown = torch.ones(2, 5, dtype=torch.bool, device=sentences.device)
    torch.library.opcheck(torch.ops.simcrop.sentence_patch_topk.default, (sentences, patches, shown, 1))
    torch.library.opcheck(torch.ops.simcrop.sentence_volume_scores.default, (sentences, patches, shown, 1, True))


@pytest.mark.parametrize("op", [sentence_patch_topk, sentence_volume_scores, soft_volume_scores])
def test_fullgraph(op: object) -> None:
    call = on_device(pairs_call(getattr(op, "__name__", ""), k=1, patches=9))

    def total(sentences: Tensor, patches: Tensor) -> Tensor:
        result = op(sentences, patches, **call.options)  # type: ignore[operator]
        return result.sum() if isinstance(result, Tensor) else result.aligned.sum() + result.scores.sum()

    given, again = call.arguments(), call.arguments()
    torch.compile(total, backend="aot_eager", fullgraph=True)(*given).backward()
    total(*again).backward()
    for ours, wanted in zip(given, again, strict=True):
        assert ours is not None
        assert wanted is not None
        torch.testing.assert_close(ours.grad, wanted.grad, rtol=0, atol=0)
