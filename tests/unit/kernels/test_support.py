"""Reasons and refusals: what the kernels say where they cannot run."""

import subprocess
import sys

import pytest
import torch
from support.kernel_inputs import embed_call, mse_call, pairs_call

from simcrop.core.errors import BackendError, InputError
from simcrop.kernels import TRITON, why_not
from simcrop.kernels.support import alignment, dot_precision, power_of_two

CALLS = [
    embed_call(),
    mse_call(),
    pairs_call("sentence_patch_topk"),
    pairs_call("sentence_volume_scores"),
    pairs_call("soft_volume_scores"),
]
CPU = torch.device("cpu")


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.op)
def test_cpu_tensors_are_refused_in_one_line_with_the_remedy(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcrop.kernels.support.is_interpreted", lambda: False)
    with pytest.raises(BackendError, match=r"cannot run here: .*; use simcrop.core.reference, or") as raised:
        call.forward(TRITON)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.op)
def test_float64_is_refused_by_name(call) -> None:
    with pytest.raises(InputError, match=r"\w+: float64 has no kernel; use simcrop.core.reference"):
        call.double().forward(TRITON)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the interpreter is used where there is no GPU")
@pytest.mark.parametrize("call", [pairs_call("sentence_patch_topk", dtype=torch.bfloat16)], ids=lambda call: call.op)
def test_bf16_is_refused_under_the_interpreter(call) -> None:
    with pytest.raises(InputError, match="sentences: Triton's interpreter computes bfloat16 wrongly"):
        call.forward(TRITON)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the interpreter is used where there is no GPU")
def test_bf16_autocast_is_refused_under_the_interpreter() -> None:
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(InputError, match="weight: Triton's interpreter computes bfloat16 wrongly"),
    ):
        embed_call().forward(TRITON)


def test_every_reason_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcrop.kernels.support.is_interpreted", lambda: False)
    monkeypatch.setattr("triton.__version__", "3.5.1")
    if not torch.cuda.is_available():
        assert why_not(CPU) == ["triton 3.5.1 is older than 3.6", "this machine has no CUDA device"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert why_not(CPU) == ["triton 3.5.1 is older than 3.6", "tensors are on cpu"]
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    assert why_not(torch.device("cuda"))[1:] == ["Tesla T4 has compute capability 7.5, below 8.0"]


def test_without_triton_everything_imports_and_a_call_says_what_is_missing() -> None:
    program = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch, simcrop.kernels as k\n"
        "try: k.sentence_patch_topk(torch.ones(1, 1, 2), torch.ones(1, 3, 2), k=1)\n"
        "except k.support.BackendError as error: print(error)\n"
        "print(k.MaskedPatchEmbed3d(1, 4, (2, 2, 2))(torch.ones(1, 1, 4, 4, 4)).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "triton is not installed (pip install triton; it exists for Linux)" in done.stdout
    assert "torch.Size([1, 8, 4])" in done.stdout


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.op)
def test_tensors_of_two_devices_are_refused_by_name(call) -> None:
    names = list(call.tensors)
    elsewhere = call.to("meta").tensors[names[1]]
    tensors = {**call.tensors, names[1]: elsewhere}
    with pytest.raises(InputError, match=r"\w+: is on \w+, but the first argument is on \w+"):
        type(call)(call.op, tensors, call.options).forward(TRITON)


def test_helpers() -> None:
    assert [power_of_two(n) for n in (1, 2, 3, 64, 65)] == [1, 2, 4, 64, 128]
    assert alignment([96, 48, 8]) == 8
    assert alignment([0, 32]) == 16
    assert alignment([7]) == 1
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        assert dot_precision() == "tf32"
        torch.set_float32_matmul_precision("highest")
        assert dot_precision() == "tf32x3"
    finally:
        torch.set_float32_matmul_precision(before)
