"""Memory of this process is told where the system tells it."""

import gc
import sys

import numpy as np
import pytest

from simcrop.adapters.system.memory import peak_memory, uncollected


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


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_collector_rests_and_is_then_as_it_was_after_an_error_too(was_enabled: bool) -> None:
    (gc.enable if was_enabled else gc.disable)()
    try:
        with pytest.raises(ValueError, match="wrong"), uncollected():
            _fail_unless_it_rests()
        assert gc.isenabled() == was_enabled
    finally:
        gc.enable()


def _fail_unless_it_rests() -> None:
    assert not gc.isenabled()
    raise ValueError("wrong")
