"""Entry point: runs a command and turns what went wrong into one line and an exit status."""

import errno
import logging
import os
import re
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from simcrop.core.errors import SimcropError
from simcrop_cli import agent
from simcrop_cli.app import app
from simcrop_cli.signals import stop

_EMPTY = re.compile(r"(--[\w-]+=)?\s*")
"""An argument, or the value of an option, that says nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; those of the process by default.

    Returns:
        Exit status: 0 done, 1 an error of the user's files or configuration, 2 wrong usage, 130 after Ctrl-C and 143
        after SIGTERM or SIGUSR1. A rank that stopped as asked may be told to leave a note instead (see `agent`).
    """
    if agent.noted_status():
        return 0  # an earlier attempt was asked to stop, and the agent has started another
    # Of several processes, the first of each node speaks for all; every one still warns.
    level = logging.INFO if os.environ.get("LOCAL_RANK", os.environ.get("RANK", "0")) == "0" else logging.WARNING
    logging.basicConfig(format="simcrop: %(message)s", level=logging.WARNING)
    logging.getLogger("simcrop").setLevel(level)
    empty = next((text for text in (sys.argv[1:] if arguments is None else arguments) if _EMPTY.fullmatch(text)), None)
    if empty is not None:
        _fail(
            f"{empty or 'an argument'}: is empty, and would be the current directory; set the variable that it is from"
        )
        return 2
    try:
        with stop.installed(), _told_once():
            agent.follow_agent()
            app(args=arguments, prog_name="simcrop")
    except SimcropError as error:
        return _fail(str(error))
    except OSError as error:
        if error.errno is None:  # not of the operating system
            raise
        return _fail(_refusal(error))
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 0
        # A rank that could not wait for the others keeps its status, by which the agent ends them.
        return code if stop.status and agent.leave_note(stop.status) else stop.status or code
    return stop.status


@contextmanager
def _told_once() -> Generator[None]:
    """Keep a refusal of the system in TensorBoard's thread from being printed: its writer raises it at its next use."""
    before = threading.excepthook

    def tell(failed: threading.ExceptHookArgs) -> None:
        is_raised_again = type(failed.thread).__module__.startswith("tensorboard.")
        if not (is_raised_again and isinstance(failed.exc_value, OSError)):
            before(failed)

    threading.excepthook = tell
    try:
        yield
    finally:
        threading.excepthook = before


def _refusal(error: OSError) -> str:
    """What the operating system refused, why, and what to do."""
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    what = error.filename or ("a file that was being written" if is_full else "the operating system refuses")
    remedy = "free some space" if is_full else "correct that"
    return f"{what}: {error.strerror}; {remedy}, then run the same command again"


def _fail(message: str) -> int:
    print(f"simcrop: {' '.join(message.split())}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
