"""A command of the user after each checkpoint, such as a copy to another place (`train.after_checkpoint`)."""

import logging
import os
import subprocess
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Thread

_log = logging.getLogger("simcrop")
_KEY = "train.after_checkpoint"


class AfterCheckpoint:
    """Runs a shell command after each checkpoint, one at a time, while training goes on.

    What it prints goes to the log. A failure is a warning, and stops nothing.

    Args:
        command: for the shell; told of the checkpoint by SIMCROP_CHECKPOINT (its folder), SIMCROP_STEP and SIMCROP_RUN.
        run: run folder.
    """

    def __init__(self, command: str, run: Path) -> None:
        self._command, self._run = command, run.absolute()
        self._queue: SimpleQueue[tuple[Path, int]] = SimpleQueue()
        self._names: list[str] = []
        self._changed = Condition()
        self._thread: Thread | None = None

    def __call__(self, checkpoint: Path, step: int) -> None:
        """Run the command for a checkpoint that is whole, once those for earlier ones have ended."""
        with self._changed:
            self._names.append(checkpoint.name)
        self._queue.put((checkpoint.absolute(), step))
        if self._thread is None:
            # Who leaves at once does not wait; the command that runs goes on by itself.
            self._thread = Thread(target=self._work, name="simcrop after checkpoint", daemon=True)
            self._thread.start()

    def in_use(self) -> frozenset[str]:
        """Names of the folders for which it has not ended."""
        with self._changed:
            return frozenset(self._names)

    def finish(self) -> None:
        """Wait until it has ended for every checkpoint."""
        with self._changed:
            self._changed.wait_for(lambda: not self._names)

    def _work(self) -> None:
        while True:
            checkpoint, step = self._queue.get()
            try:
                self._call(checkpoint, step)
            except OSError as error:
                _log.warning("%s: cannot be run after %s (%s); training goes on", _KEY, checkpoint, error)
            with self._changed:
                self._names.remove(checkpoint.name)
                self._changed.notify_all()

    def _call(self, checkpoint: Path, step: int) -> None:
        told = {"SIMCROP_CHECKPOINT": str(checkpoint), "SIMCROP_STEP": str(step), "SIMCROP_RUN": str(self._run)}
        last = "it printed nothing"
        with subprocess.Popen(
            self._command,
            shell=True,
            env=os.environ | told,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C in a terminal is for the training alone
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                last = line.strip() or last
                _log.info("%s: %s", _KEY, line.rstrip())
        if process.returncode:
            _log.warning(
                "%s: exit status %d after %s (%s); training goes on", _KEY, process.returncode, checkpoint, last
            )
