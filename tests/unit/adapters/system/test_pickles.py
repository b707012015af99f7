"""Reasons why a torch file was not read, in one line."""

from functools import partial
from pathlib import Path

import pytest
import torch

from simcrop.adapters.system.pickles import why_unread


def reason(path: Path) -> str:
    with pytest.raises(Exception) as refused:  # noqa: PT011 (of any kind, as the unpickler has it)
        torch.load(path, weights_only=True)
    assert isinstance(refused.value, Exception)
    return why_unread(refused.value)


def test_what_a_pickle_asks_for_is_named_without_torchs_advice(tmp_path: Path) -> None:
    torch.save({"x": partial(print, "run")}, tmp_path / "code.pth")
    assert reason(tmp_path / "code.pth") == (
        "its pickle asks for functools.partial, which was not run; only tensors and plain values are read"
    )
    (tmp_path / "damaged.pth").write_bytes(b"garbage")
    assert reason(tmp_path / "damaged.pth") == "its pickle holds more than tensors, or is damaged"


def test_other_failures_keep_their_own_words(tmp_path: Path) -> None:
    assert reason(tmp_path / "absent.pth") == "No such file or directory"
    assert why_unread(ValueError("two\nlines")) == "two lines"
    assert why_unread(IndexError()) == "IndexError"
