"""Processes that this program starts: they end with it, and leave it to answer signals."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable

_WATCH_SECONDS = 1.0


def watch_parent(then: Callable[[], None], every: float = _WATCH_SECONDS) -> None:
    """Call something, in a thread, once the process that started this one has ended, even by SIGKILL.

    A thread does so on every system. Linux could send a signal, but counts the end of the thread that started this
    process as well.

    Args:
        then: called once.
        every: seconds between two looks.
    """
    process, parent = os.getppid(), multiprocessing.parent_process()

    def watch() -> None:
        # A parent that ended before the first line is known by its pipe alone; among forked processes the youngest
        # notices that first, since it holds the pipes of the others.
        while os.getppid() == process and (parent is None or parent.is_alive()):
            time.sleep(every)
        then()

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def begin_worker() -> None:
    """What a worker of a pool does first: it ends with its parent, and at once when that terminates it.

    The parent alone answers Ctrl-C and requests to stop; its handlers mean nothing here.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    watch_parent(_leave)


def begin_reader() -> None:
    """What a process that reads data for training does first: as `begin_worker`, but the parent alone terminates it.

    A cluster sends SIGTERM to every process of a job. The parent then finishes its step, for which it needs this one.
    """
    # An old macOS cannot tell who has sent a signal.
    knows_sender = hasattr(signal, "sigwaitinfo")
    if knows_sender:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # before threads begin, which inherit it
    begin_worker()
    if knows_sender:
        threading.Thread(target=_obey_parent, name="termination", daemon=True).start()


def _obey_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    _leave()


def _leave() -> None:
    # Nobody is left to read an exception, and nothing to tidy up: what is written appears whole or not at all.
    os._exit(1)
