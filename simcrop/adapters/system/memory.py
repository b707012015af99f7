"""Memory of this process."""

import sys
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
