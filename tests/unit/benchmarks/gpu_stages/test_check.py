"""Illegal accesses are looked for where they can be seen."""

from pathlib import Path

import pytest
import torch
from gpu_stages.check import sanitized, tiny_calls


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """Stands for the sanitizer: it says whether torch is to hand out parts of larger pieces of memory."""
    path = tmp_path / "tool"
    path.write_text('#!/bin/sh\necho "no caching: $PYTORCH_NO_CUDA_MEMORY_CACHING"\nexit $STATUS\n', encoding="utf-8")
    path.chmod(0o755)
    return path


def test_every_tensor_is_a_piece_of_memory_of_its_own(tool: Path) -> None:
    assert sanitized(str(tool)) == {"says": "no caching: 1"}


def test_an_illegal_access_is_a_failure(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATUS", "1")
    with pytest.raises(AssertionError, match="no caching: 1"):
        sanitized(str(tool))


@pytest.mark.slow
def test_the_calls_that_are_watched_run() -> None:
    tiny_calls(torch.float16)
