"""The variant of sentence_volume_scores that is one kernel."""

from collections.abc import Generator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.kernel_inputs import pairs_call
from support.parity import FLOATS, ODD_SIZES, assert_parity, on_device
from torch import Tensor

from simcrop.kernels import TRITON, sentence_volume_scores
from simcrop.kernels.variants import using

SCORES = "sentence_volume_scores"


@pytest.fixture(autouse=True, scope="module")
def fused() -> Generator[None]:
    with using(scores="fused"):
        yield


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("k", "patches"), [(1, 7), (3, 150), (7, 7)])
def test_k_and_dtype(dtype: torch.dtype, k: int, patches: int) -> None:
    assert_parity(pairs_call(SCORES, dtype=dtype, k=k, patches=patches))


@ODD_SIZES
@given(st.data())
def test_odd_sizes(data: st.DataObject) -> None:
    patches = data.draw(st.integers(1, 140))
    assert_parity(
        pairs_call(
            SCORES,
            studies=data.draw(st.integers(1, 3)),
            volumes=data.draw(st.integers(1, 3)),
            sentences=data.draw(st.integers(1, 20)),
            patches=patches,
            features=data.draw(st.integers(4, 80)),
            k=data.draw(st.integers(1, min(patches, 4))),
            masked=data.draw(st.sampled_from([0.0, 0.5, 1.0])),
            seed=data.draw(st.integers(0, 2**31)),
        )
    )


def test_the_same_winners_as_the_chunked_variant() -> None:
    """On ties too: many patches are equal, one is NaN."""
    call = on_device(pairs_call(SCORES, patches=150, features=4, masked=0.2, k=5))
    patches = call.tensors["patches"]
    assert patches is not None
    patches.copy_(patches.sign())
    patches[1, 140] = float("nan")
    sentences, _ = call.arguments()
    assert sentences is not None
    arguments = sentences.detach().sign(), patches, call.options["sentence_mask"], 5, True
    fused = torch.ops.simcrop.sentence_volume_scores(*arguments)[1]
    with using(scores="chunked"):
        chunked = torch.ops.simcrop.sentence_volume_scores(*arguments)[1]
    assert torch.equal(fused, chunked)


def test_opcheck_and_fullgraph() -> None:
    call = on_device(pairs_call(SCORES, k=1, patches=9))
    sentences, patches = call.arguments()
    assert sentences is not None
    arguments = sentences, patches, call.options["sentence_mask"], 1, True
    torch.library.opcheck(torch.ops.simcrop.sentence_volume_scores.default, arguments)

    def total(*given: Tensor) -> Tensor:
        return sentence_volume_scores(*given, **call.options).sum()

    again = call.arguments()
    torch.compile(total, backend="aot_eager", fullgraph=True)(sentences, patches).backward()
    call.forward(TRITON, again)["result"].sum().backward()
    for ours, wanted in zip((sentences, patches), again, strict=True):
        assert ours is not None
        assert wanted is not None
        torch.testing.assert_close(ours.grad, wanted.grad, rtol=0, atol=0)
