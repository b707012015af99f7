"""torchrun that tells "stopped as asked" from "failed": python -m simcrop_cli.torchrun, with the arguments of torchrun.

torchrun itself ends with 1 for both, dies of SIGUSR1, starts all ranks again when one stopped as asked, kills them
after 30 seconds, and leaves them behind when it is asked twice, as a cluster may do.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousError

from simcrop_cli import agent

_REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""Signals that are passed on to the ranks, which then end by themselves."""

_SIGNALS_OF_TORCHRUN = "SIGHUP,SIGQUIT"
"""Those that torchrun handles itself: it ends all ranks."""

_SAME_REQUEST_SECONDS = 2.0
"""A cluster may send one request twice."""

_ASKED = (130, 143, -signal.SIGINT, -signal.SIGTERM, -signal.SIGUSR1)
"""Exit codes of a rank that was asked to stop, by us or by the agent."""


def main(arguments: Sequence[str]) -> int:
    """Run ranks.

    Args:
        arguments: those of torchrun.

    Returns:
        Exit status: 0 every rank is done, 130 or 143 they were asked to stop, 1 a rank failed.
    """
    os.environ.setdefault("PET_SIGNALS_TO_HANDLE", _SIGNALS_OF_TORCHRUN)
    with tempfile.TemporaryDirectory(prefix="simcrop-") as folder:
        note = Path(folder) / "note"
        os.environ[agent.NOTE] = str(note)
        try:
            with passed_on():
                run.main(list(arguments))
        except SignalException as asked:
            if note.exists() and not agent.noted_status():
                return _fail("asked to stop, and no rank could save; their own lines above may say why")
            return 130 if asked.sigval == signal.SIGINT else 143
        except ChildFailedError as error:
            told = _failure(error.failures)
            return agent.noted_status() or 143 if told is None else _fail(told)
        except RendezvousError as error:
            return _fail(
                f"the machines did not find each other ({error}); start this on each within some minutes, with the "
                "same --nnodes, --rdzv-endpoint and --rdzv-id, and a free port that all can reach"
            )
        return agent.noted_status()


def _fail(message: str) -> int:
    print(f"simcrop: {' '.join(message.split())}", file=sys.stderr)
    return 1


@contextmanager
def passed_on(clock: Callable[[], float] = time.monotonic) -> Generator[None]:
    """Pass a request on to the ranks, and let the agent see how they end.

    The agents of other machines learn of it by their own ranks, and no time is set. A later Ctrl-C or SIGTERM, or one
    while no rank is at work, ends the agent, which passes it on a second time.

    Args:
        clock: seconds from any origin.

    Raises:
        SignalException: in the block, from the handler.
    """
    asked_at: float | None = None

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked_at
        if asked_at is not None and (number == signal.SIGUSR1 or clock() - asked_at < _SAME_REQUEST_SECONDS):
            return
        if asked_at is None and agent.tell_ranks(number):
            # A notice ahead of a limit does not count: the first signal at the limit is a request as well.
            asked_at = None if number == signal.SIGUSR1 else clock()
            return
        asked_at = clock()
        raise SignalException(f"the launcher got signal {number}", signal.Signals(number))

    before = {number: signal.signal(number, ask) for number in _REQUESTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _failure(failures: Mapping[int, ProcessFailure]) -> str | None:
    """What the first rank that failed ended with; None where all were asked to stop."""
    failed = {rank: failure.exitcode for rank, failure in failures.items() if failure.exitcode not in _ASKED}
    if not failed:
        return None
    rank, code = next(iter(failed.items()))
    if code > 0:
        return f"rank {rank} ended with status {code}; its own lines above say why"
    return (
        f"rank {rank} was ended by {signal.Signals(-code).name}; if by nobody here, then most likely for want of memory"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
