"""The kernels of sentence_patch_topk against its definition; test_cosines has the rest."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from support import REPOSITORY
from support.choices import assert_among_the_best, assert_parity_of_choice
from support.kernel_inputs import Call, pairs_call
from support.parity import assert_parity, on_device
from torch import Tensor
from torch.nn.functional import normalize

from simcrop.core.errors import InputError
from simcrop.core.reference import stable_topk_indices
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


@pytest.mark.parametrize("op", [TOPK, "sentence_volume_scores"])
def test_parity_where_the_choice_is_taken_as_given(op: str) -> None:
    assert_parity_of_choice(pairs_call(op, patches=20))


def test_choices_that_differ_by_rounding_alone_count_as_the_same() -> None:
    """At full size, errors of 1e-6 (about those of a tensor core's sums) change the order of some of the best."""
    call = pairs_call(TOPK, studies=4, sentences=80, patches=2744, features=768, k=32, dtype=torch.bfloat16)
    sentences, patches = (normalize(value.double(), dim=2) for value in call.tensors.values() if value is not None)
    exact = sentences @ patches.transpose(1, 2)
    noise = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    best = stable_topk_indices(exact, 32)
    flipped = stable_topk_indices(exact + 1e-6 * noise, 32)
    assert not torch.equal(flipped, best)
    assert_among_the_best(call, flipped[:, :, None])
    with pytest.raises(AssertionError, match="off the best"):
        assert_among_the_best(call, stable_topk_indices(exact, 33)[:, :, None, 1:])
    alike = with_tensors(call, sentences=torch.ones(4, 80, 8), patches=torch.ones(4, 2744, 8))
    with pytest.raises(AssertionError, match="chosen twice"):
        assert_among_the_best(alike, 0 * best[:, :, None])


def test_a_run_compiles_each_kernel_once() -> None:
    """Reports have 1 to 80 sentences: their number must not be compiled into a kernel."""
    program = """
import torch
from compile_matrix import launches  # before what defines kernels: it sees to it that they are not interpreted
from compile_cases import topk_case
from compiling import source
compiled = {}
for S in range(1, 81):
    for kernel, arguments in launches(topk_case(torch.bfloat16, S, 686, 4), 90):
        compiled.setdefault(kernel.fn.__name__, set()).add(source(kernel, arguments, 90))
print(sorted(len(variants) for variants in compiled.values()))
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY / "benchmarks")
    assert done.stdout == "[1, 1]\n", done.stderr[-3000:]
