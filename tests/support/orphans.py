"""Programs that are killed while processes of theirs are at work."""

import contextlib
import os
import signal
import subprocess
import sys


def all_end_with_it(program: str, ready: int = 1, timeout: float = 120) -> bool:
    """Start a Python program, kill it alone once it has written, and wait for all that it has started.

    Every process that it starts holds its standard output open, so that its end is the end of the last of them. That
    needs no process ids, which are seen for as long as nobody collects them.

    Args:
        program: Python code that writes `ready` bytes when its processes are at work, and then goes on for ever.
        ready: bytes to wait for.
        timeout: seconds that the others get.

    Returns:
        False if any is left.
    """
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    try:
        assert len(process.stdout.read(ready)) == ready, "it ended by itself"
        process.send_signal(signal.SIGKILL)
        try:
            process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return False
        return True
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
