"""Gradients through a choice where one patch is chosen by nearly all, so that its winners are shared out."""

from dataclasses import replace

import pytest
import torch
from support.kernel_inputs import Call, pairs_call
from support.parity import assert_parity, on_device, poisoned

from simcrop.kernels import TRITON

TOPK, SCORES = OPS = ("sentence_patch_topk", "sentence_volume_scores")


def with_hubs(call: Call) -> Call:
    """Patches 3 and 4 of each volume look like what all sentences have in common."""
    sentences, patches = call.tensors["sentences"], call.tensors["patches"]
    assert sentences is not None
    assert patches is not None
    sentences[..., :2] += 6.0
    patches[:, 3:5] *= 0.1
    patches[:, 3:5, :2] += 6.0
    return call


@pytest.mark.parametrize(("op", "k"), [(TOPK, 1), (TOPK, 3), (SCORES, 1), (SCORES, 2)])
def test_a_patch_that_nearly_all_choose(op: str, k: int) -> None:
    call = with_hubs(pairs_call(op, studies=2, sentences=50, patches=9, features=8, k=k, masked=0.2))
    ours = assert_parity(call)
    if op == TOPK:
        chosen = ours["indices"][..., 0]
        assert int(((chosen == 3) | (chosen == 4)).sum(1).min()) > 30


def test_few_winners_of_many_patches() -> None:
    assert_parity(pairs_call(TOPK, studies=1, sentences=2, patches=60, features=20, k=4))


@pytest.mark.parametrize("op", OPS)
def test_equal_bits_with_hubs(op: str) -> None:
    call = on_device(with_hubs(pairs_call(op, studies=1, sentences=50, patches=5, features=8, k=1)))
    with poisoned():
        first, second = call.run(TRITON), call.run(TRITON)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_no_volumes() -> None:
    call = on_device(replace(pairs_call(SCORES, volumes=0), wanted=("sentences",)))
    assert not call.run(TRITON)["gradient of sentences"].any()
