"""The operations that a model gets: by name, and by device where nobody asks."""

import pytest
import torch

from simcrop import compose
from simcrop.compose.ops import compiles
from simcrop.core.errors import BackendError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_operations_are_chosen_by_name(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcrop.kernels.support.is_interpreted", lambda: False)
    assert compose.select_ops("reference", CUDA).name == "reference"
    with caplog.at_level("INFO"):
        assert compose.select_ops("auto", CPU).name == "reference"
    assert "operations: reference (plain torch), since the device is cpu" in caplog.text
    with pytest.raises(BackendError, match=r"train.ops: triton cannot run here: .*; write auto or reference"):
        compose.select_ops("triton", CPU)


def test_a_gpu_gets_the_kernels_without_being_asked(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons: list[str] = []
    monkeypatch.setattr("simcrop.kernels.why_not", lambda device: reasons)
    with caplog.at_level("INFO"):
        assert compose.select_ops("auto", CUDA).name == "triton"
        reasons.append("Tesla T4 has compute capability 7.5, below 8.0")
        assert compose.select_ops("auto", CUDA).name == "reference"
    assert "operations: Triton kernels" in caplog.text
    assert "operations: reference (plain torch), since Tesla T4 has compute capability 7.5" in caplog.text


def test_blocks_are_compiled_where_it_is_asked_for_or_on_a_gpu_of_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons: list[str] = []
    monkeypatch.setattr("simcrop.kernels.why_not", lambda device: reasons)
    assert [compiles(choice, device) for choice in (True, False) for device in (CPU, CUDA)] == [
        True,
        True,
        False,
        False,
    ]
    assert [compiles("auto", device) for device in (CPU, CUDA)] == [False, True]
    reasons.append("triton is not installed")
    assert not compiles("auto", CUDA)
