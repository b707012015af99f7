"""Bounds on the time and memory of one example, so that it fails and takes no other test with it."""

import resource
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


@contextmanager
def bounded(seconds: int) -> Generator[None]:
    """What takes longer than any example should fails, instead of hanging."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def bounded_memory(num_bytes: int) -> Generator[None]:
    """What asks for more memory than this, beyond what the process has, fails by an error that is none of ours.

    Address space is counted, so a file that is mapped counts too. Where the system does not tell how much the process
    has, nothing is bounded.
    """
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    held = int(statm.read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
