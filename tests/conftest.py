"""Set up Triton, hypothesis and torch for every test."""

import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings

if not torch.cuda.is_available():
    # Before anything imports triton: afterwards it has no effect.
    os.environ.setdefault("TRITON_INTERPRET", "1")


# No test fails for being slow on a busy machine; the first draw of a strategy takes seconds there.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


@pytest.fixture(autouse=True)
def _threads_are_put_back() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def one_thread() -> None:
    """For tests that compare numbers of two runs, or are faster so."""
    torch.set_num_threads(1)
