"""Memory of this process is told where the system tells it."""

import sys

import numpy as np
import pytest

from simcrop.adapters.system.memory import peak_memory


def test_what_is_held_counts() -> None:
    before = peak_memory()
    assert before is not None
    held = np.ones(before + (64 << 20), np.uint8)
    after = peak_memory()
    assert after is not None
    assert held.nbytes <= after < 4 * held.nbytes


def test_a_system_that_does_not_tell_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory() is None
