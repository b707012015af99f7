"""Ctrl-C and SIGTERM: the first lets a training step finish and save, a later one stops at once.

Work that never asks (listing files, making phantoms) is stopped by the first: everything it has written is whole.
"""

import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

WORKER_SECONDS = 20
"""How long a data worker outlives a signal, so that the step which needs its batch can finish."""


_SAME_REQUEST_SECONDS = 2.0
"""A launcher such as torchrun passes on the signal that its whole group has got already: within this time it counts
once."""


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
        """Exit status that tells the caller which signal ended the run; 0 without one."""
        return 0 if self.signal is None else 128 + self.signal

    @contextmanager
    def installed(self) -> Generator[None]:
        """Handle SIGINT and SIGTERM here until the block ends."""
        self.signal, self._asked, self._process = None, False, os.getpid()
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            # A terminal signals its whole group. The main process ends its workers itself; one that it forgot must go.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(WORKER_SECONDS)
            return
        is_first, self.signal = self.signal is None, number
        if is_first:
            self._signalled_at = self._clock()
        elif self._asked and self._clock() - self._signalled_at < _SAME_REQUEST_SECONDS:
            return
        if not (is_first and self._asked):
            # Should a library swallow this, the next to ask still hears of the signal.
            raise SystemExit(128 + number)
        os.write(2, b"\nsimcrop: stopping after this step; again in a moment to stop at once\n")


stop = Stop()
"""The request of this process."""
