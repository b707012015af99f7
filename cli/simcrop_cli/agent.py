"""The word between a rank and the agent of torchrun that started it.

A rank whose agent ends is asked to stop: nobody else would. Under `python -m simcrop_cli.torchrun` a rank that stopped
as asked leaves a note and ends with 0: for any other status the agent would start all ranks again. A note that stays
empty tells that ranks were at work and none of them got so far. Beside it each rank leaves its number, for the launcher
to pass requests on.
"""

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from simcrop.adapters.system.children import watch_parent

NOTE = "SIMCROP_STOPPED_NOTE"
"""Environment variable with the path of the note, which holds the exit status."""


def follow_agent(environment: Mapping[str, str] = os.environ) -> None:
    """Begin the note, and ask this process to stop, as SIGUSR1 does, once the agent has ended.

    Nothing without an agent.
    """
    path = environment.get(NOTE)
    if path:
        with suppress(OSError):
            Path(path).touch()
            Path(path).with_suffix(f".{os.getpid()}").touch()
    if "TORCHELASTIC_RUN_ID" in environment:
        watch_parent(lambda: os.kill(os.getpid(), signal.SIGUSR1))


def tell_ranks(number: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Send a signal to all ranks of this launcher that are at work; False where there are none."""
    path = environment.get(NOTE)
    ranks = [int(each.suffix[1:]) for each in Path(path).parent.glob(f"{Path(path).name}.*")] if path else []
    at_work = [process for process in ranks if _is_running_child(process)]
    for process in at_work:
        os.kill(process, number)
    return bool(at_work)


def _is_running_child(process: int) -> bool:
    """Whether it runs, and has not left its number to another process, which an old Python on macOS cannot tell."""
    try:
        if not hasattr(os, "waitid"):
            return os.kill(process, 0) is None
        return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except (ChildProcessError, ProcessLookupError):
        return False


def noted_status(environment: Mapping[str, str] = os.environ) -> int:
    """Exit status of the request that an earlier attempt, or another rank of this machine, has left; 0 without one."""
    path = environment.get(NOTE)
    try:
        return int(Path(path).read_text()) if path else 0
    except (OSError, ValueError):  # not there, or without a status
        return 0


def leave_note(status: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Keep the status of a request to stop for the launcher; False where it has asked for no note, or none can be."""
    path = environment.get(NOTE)
    if path:
        with suppress(OSError):
            Path(path).write_text(str(status))
            return True
    return False
