"""Requests to stop: Ctrl-C, SIGTERM, and SIGUSR1, which a cluster sends ahead of a limit.

The first lets a training step finish and save. Ctrl-C or SIGTERM after another of them stops at once; SIGUSR1 never
hurries anybody. Work that never asks (listing files, making phantoms) is stopped by the first: everything it has
written is whole.
"""

import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

WORKER_SECONDS = 20
"""How long a forked process that has no handlers of its own outlives a signal."""


_SAME_REQUEST_SECONDS = 2.0
"""A launcher such as torchrun passes on the signal that its whole group has got already: within this time it counts
once."""

_REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Stop:
    """A request to stop; calling it says whether somebody made one.

    Args:
        clock: seconds from any origin.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.signal: int | None = None
        self._clock, self._signalled_at = clock, 0.0
        self._asked = False
        self._process = os.getpid()

    def __call__(self) -> bool:
        """True after the first signal. Whoever asks once is trusted to ask again: later signals wait for it."""
        self._asked = True
        return self.signal is not None

    @property
    def status(self) -> int:
        """Exit status that tells the caller who ended the run: 130 Ctrl-C, 143 any other request; 0 without one."""
        return 0 if self.signal is None else _status(self.signal)

    def heard(self) -> None:
        """Another rank was asked, and all have stopped: this process ends with the same status."""
        if self.signal is None:
            self.signal = signal.SIGTERM

    @contextmanager
    def installed(self) -> Generator[None]:
        """Handle SIGINT, SIGTERM and SIGUSR1 here until the block ends."""
        self.signal, self._asked, self._process = None, False, os.getpid()
        before = {number: signal.signal(number, self._handle) for number in _REQUESTS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            # A terminal signals its whole group. The main process ends its workers itself; one that it forgot must go.
            if number != signal.SIGUSR1:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(WORKER_SECONDS)
            return
        if number == signal.SIGUSR1 and self.signal is not None and self._asked:
            return
        is_first, self.signal = self.signal in (None, signal.SIGUSR1), number
        if is_first:
            self._signalled_at = self._clock()
        elif self._asked and self._clock() - self._signalled_at < _SAME_REQUEST_SECONDS:
            return
        if not (is_first and self._asked):
            # Should a library swallow this, the next to ask still hears of the signal.
            raise SystemExit(_status(number))
        os.write(2, b"\nsimcrop: stopping after this step; again in a moment to stop at once\n")


def _status(number: int) -> int:
    return 130 if number == signal.SIGINT else 143


stop = Stop()
"""The request of this process."""
