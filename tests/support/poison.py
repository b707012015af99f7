"""Fill memory that is handed out uninitialised with NaN, so that what a kernel fails to write is seen."""

from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def poisoned() -> Generator[None]:
    """Memory that is handed out uninitialised is full of NaN: what a kernel fails to write is seen."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        assert torch.utils.deterministic.fill_uninitialized_memory
        yield
    finally:
        torch.use_deterministic_algorithms(before)
