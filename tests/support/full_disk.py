"""A disk that takes no more."""

import resource
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def files_of_at_most(num_bytes: int) -> Generator[None]:
    """Refuse to let any file grow further, as a full disk does: the error has another number, and no file's name."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
