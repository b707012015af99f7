"""torchrun that tells "stopped as asked" from "failed": python -m simcrop_cli.torchrun, with the arguments of torchrun.

torchrun itself ends with 1 for both, dies of SIGUSR1, starts all ranks again when one stopped as asked, and leaves them
behind when it is asked twice, as a cluster may do.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousError

from simcrop_cli import agent

_REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""Signals that are passed on to the ranks once."""

_SETTINGS = {"PET_SIGNALS_TO_HANDLE": "SIGHUP,SIGQUIT", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "300"}
"""What torchrun reads from the environment: other signals that it passes on, and how many seconds it then gives the
ranks to finish a step and save."""

_ASKED = (130, 143, -signal.SIGINT, -signal.SIGTERM, -signal.SIGUSR1)
"""Exit codes of a rank that was asked to stop, by us or by the agent."""


def main(arguments: Sequence[str]) -> int:
    """Run ranks.

    Args:
        arguments: those of torchrun.

    Returns:
        Exit status: 0 every rank is done, 130 or 143 they were asked to stop, 1 a rank failed.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    with tempfile.TemporaryDirectory(prefix="simcrop-") as folder:
        note = Path(folder) / "note"
        os.environ[agent.NOTE] = str(note)
        try:
            with _heard_once():
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
def _heard_once() -> Generator[None]:
    """Let the first request end the agent, as torchrun's own handlers do, and none disturb it while the ranks save."""

    def ask(number: int, frame: FrameType | None) -> None:
        for other in _REQUESTS:
            signal.signal(other, signal.SIG_IGN)
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
