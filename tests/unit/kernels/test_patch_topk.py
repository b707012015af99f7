"""The kernels of sentence_patch_topk against its definition; test_cosines has the rest."""

from dataclasses import replace

import pytest
import torch
from support.kernel_inputs import Call, pairs_call
from support.parity import assert_parity, on_device
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.kernels import TRITON

TOPK = "sentence_patch_topk"


def with_tensors(call: Call, **tensors: Tensor) -> Call:
    return replace(call, tensors={**call.tensors, **tensors})


@pytest.mark.parametrize("of", [("aligned",), ("scores",)])
def test_topk_differentiated_through_one_result(of: tuple[str, ...]) -> None:
    ours = assert_parity(pairs_call(TOPK), of=of)
    assert ("gradient of sentences" in ours) == (of == ("scores",))


@pytest.mark.parametrize("k", [1, 2, 5, 16])
def test_ties_go_to_the_lower_index(k: int) -> None:
    signs = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, 1, 1], [1, 1, -1, -1]]).repeat(40, 1)
    call = pairs_call(TOPK, studies=1, sentences=1, patches=160, features=4, k=k, masked=0)
    ours = assert_parity(with_tensors(call, sentences=torch.ones(1, 1, 4), patches=signs[None]))
    assert ours["indices"][0, 0].tolist() == list(range(0, 160, 2))[:k]


def test_minus_zero_ties_with_zero() -> None:
    patches = torch.tensor([[[1.0, -0.0], [-1.0, 0.0], [0.0, 0.0], [0.0, -1.0]]])
    call = pairs_call(TOPK, studies=1, sentences=1, patches=4, features=2, k=4, masked=0)
    ours = assert_parity(with_tensors(call, sentences=torch.tensor([[[0.0, 1.0]]]), patches=patches))
    assert ours["indices"].tolist() == [[[0, 1, 2, 3]]]


def test_too_many_features_for_a_program_are_refused() -> None:
    with pytest.raises(InputError, match=r"patches: 4097 features; the kernels take up to 4096"):
        on_device(pairs_call(TOPK, features=4097, patches=3)).forward(TRITON)


def test_a_cosine_of_single_numbers_has_no_slope() -> None:
    call = on_device(pairs_call(TOPK, features=1, patches=5))
    ours = call.run(TRITON, of=("scores",))
    assert max(float(ours[f"gradient of {name}"].abs().max()) for name in call.wanted) < 1e-5
