"""Memory of this process."""

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


def peak_memory() -> int | None:
    """Most bytes that this process has held; None on systems without the module `resource`, such as Windows."""
    try:
        resource: Any = import_module("resource")
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def uncollected() -> Generator[None]:
    """Put off the collection of garbage while millions of objects are made that all stay.

    The collector would go through them again and again, for a third of the time that they take.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
