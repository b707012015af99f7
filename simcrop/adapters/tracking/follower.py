"""A tracking service follows a run: from a thread of its own, so that training neither waits for it nor ends with it.

The thread reads metrics.jsonl, which is the truth. So a service that was away, or was added later, gets what it lacks.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from simcrop.adapters.tracking.service import Record, Row, RunAbout, Status, TrackingService, reason
from simcrop.adapters.tracking.written import measured, rows_behind
from simcrop.core.errors import ConfigError

_log = logging.getLogger("simcrop")
_ROWS = 50
"""Most rows handed over at a time."""
_RECORD_SECONDS = 20.0
"""Between two records; each has the steps of the one before it, which a service has written to disk since."""
_MOST_REFUSALS = 5
"""Times that a picture or file is offered; a service may take numbers, and have no store of files open to us."""


@dataclass(frozen=True)
class Pace:
    """Seconds that a follower waits.

    Attributes:
        gather: between two deliveries, so that quick steps travel together.
        retry: after a failure, doubled up to `retry_most`.
        retry_most: see there.
        end: for a service at the end of a run, since it last took something.
    """

    gather: float = 1.0
    retry: float = 2.0
    retry_most: float = 60.0
    end: float = 30.0


class Follower:
    """A MetricSink whose rows reach a service later: it sends what stands in metrics.jsonl and is not there yet.

    Steps that a service has are not sent again, unless the settings have changed since. A service that fails is told of
    once, tried again, and given all that it missed; a picture that it keeps refusing is left out.

    Args:
        service: the run there.
        about: the run here.
        is_continued: whether the run goes on from a checkpoint.
        pace: how long to wait for what.

    Raises:
        ConfigError: the record of an earlier part of the run is damaged.
    """

    def __init__(self, service: TrackingService, about: RunAbout, *, is_continued: bool, pace: Pace | None = None):
        self._service, self._about, self._pace = service, about, pace or Pace()
        self._metrics = about.folder / "metrics.jsonl"
        self._file = Record.file(about.folder, service.name)
        self._before = Record.read(self._file)
        self._is_same = self._before is not None and self._before.digest == about.digest
        # A run that was killed before its first checkpoint begins anew; with the same settings it is the same run.
        self._continues = self._before is not None and (is_continued or self._is_same)
        self._record: Record | None = None
        self._recorded_at = 0.0
        self._start: int | None = None
        self._place = self._recorded = 0
        self._sent = self._before.step if self._before is not None and self._continues else 0
        self._jobs: deque[Callable[[], None]] = deque()
        self._wake, self._hurry, self._gives_up = threading.Event(), threading.Event(), threading.Event()
        self._ending: Status | None = None
        self._progressed_at = time.monotonic()
        self._has_warned, self._refusals = False, 0
        self._thread = threading.Thread(target=self._follow, name=f"simcrop {service.name}", daemon=True)

    def open(self) -> None:
        """Open the run in the service, before there is anything to send.

        Raises:
            ConfigError: it cannot be opened; a run that the service knew goes on all the same, and tries again later.
        """
        try:
            self._open()
        except ConfigError:
            raise
        except Exception as error:
            name = self._service.name
            what = f"{name}: {self._service.where} cannot be used ({reason(error)})"
            if not self._continues:
                raise ConfigError(f"train.trackers: {what}; {self._service.remedy}, or leave {name} out") from error
            self._warn(f"{what}; training goes on, and what is missing there is sent when it can be")

    def rewind(self, step: int) -> None:
        """Begin to follow metrics.jsonl, whose rows after `step` have been dropped."""
        self._start = step
        self._set_out()
        self._jobs.append(partial(self._service.file, self._about.folder / "config.yaml"))
        self._thread.start()

    def write(self, row: Row) -> None:
        """Look into metrics.jsonl, where the row stands already."""
        self._wake.set()

    def picture(self, name: str, step: int, figure: Figure, path: Path) -> None:
        """An `on_figure` of RunPictures that sends the file."""
        self._jobs.append(partial(self._service.picture, name, step, path))
        self._wake.set()

    def close(self) -> None:
        """Nothing yet: the run may still be measured, and `end` ends it."""

    def end(self, status: Status, *, seconds: float | None = None) -> None:
        """Send what is left, and tell the service how the run ended; waits only for a service that makes progress.

        Args:
            status: of the run.
            seconds: to wait instead of those of the pace.
        """
        summary = self._about.folder / "summary.json"
        if status == "finished" and summary.exists():
            self._jobs.append(partial(self._service.file, summary))
        self._progressed_at = time.monotonic()
        self._ending = status
        if self._thread.ident is None:  # it ended before its first step
            self._thread.start()
        self._wake.set()
        self._hurry.set()
        patience = self._pace.end if seconds is None else seconds
        while self._thread.is_alive() and time.monotonic() - self._progressed_at < patience:
            self._thread.join(0.05)
        self._gives_up.set()
        if self._record is None or self._record.status != status:
            _log.warning(
                "%s: %s has the steps up to %d, and not how the run ended; run the same command again to send the rest",
                *(self._service.name, self._service.where, self._sent),
            )

    def _open(self) -> None:
        before = self._before if self._continues else None
        begun = self._service.begin(None if before is None else before.run_id)
        if self._before is not None and before is None:
            self._jobs.append(partial(self._service.abandon, self._before.run_id))
        if begun.last_step is not None:
            self._sent = begun.last_step
        self._set_out()
        self._recorded, self._recorded_at = self._sent, time.monotonic()
        self._record = Record(begun.run_id, self._sent, self._about.digest, "running")
        self._record.write(self._file)
        _log.info("%s: run %s, %s", self._service.name, begun.run_id, self._service.where)

    def _set_out(self) -> None:
        """Send after what the service has; or after the checkpoint, where other settings made what follows it."""
        if self._continues and not self._is_same and self._start is not None:
            self._sent = min(self._sent, self._start)

    def _follow(self) -> None:
        pause = self._pace.retry
        while not self._gives_up.is_set():
            ending = self._ending  # looked up first, so that nothing written before it is missed
            try:
                if self._record is None:
                    self._open()
                self._send()
                if ending is not None:
                    self._end(ending)
                    return
            except Exception as error:
                self._warn(
                    f"{self._service.name}: {self._service.where} does not take what it is given ({reason(error)}); "
                    f"training goes on, and it is given what it lacks as soon as it answers"
                )
                waiting = self._hurry if ending is None else self._gives_up
                waiting.wait(pause)
                pause = min(2 * pause, self._pace.retry_most)
            else:
                pause = self._pace.retry
                self._wake.wait()
                self._hurry.wait(self._pace.gather)
                self._wake.clear()

    def _send(self) -> None:
        for rows, place in rows_behind(self._metrics, self._place, _ROWS):
            new = [row for row in rows if row["step"] > self._sent]
            if new:
                self._service.write(new)
                self._sent = int(new[-1]["step"])
            self._place = place
            self._note()
        while self._jobs:
            try:
                self._jobs[0]()
            except Exception:
                self._refusals += 1
                if self._refusals < _MOST_REFUSALS:
                    raise
            self._jobs.popleft()
            self._refusals = 0
            self._progressed_at = time.monotonic()

    def _end(self, status: Status) -> None:
        summary = measured(self._about.folder / "summary.json") if status == "finished" else {}
        self._service.end(status, summary, self._sent)
        self._recorded = self._sent
        self._keep(status)

    def _note(self) -> None:
        self._progressed_at = now = time.monotonic()
        if now - self._recorded_at >= _RECORD_SECONDS:
            self._keep("running")
            self._recorded, self._recorded_at = self._sent, now

    def _keep(self, status: Status) -> None:
        assert self._record is not None, "it is opened first"
        self._record = replace(self._record, step=self._recorded, status=status)
        with suppress(OSError):  # a full disk stops the run where it writes its own files
            self._record.write(self._file)

    def _warn(self, message: str) -> None:
        if not self._has_warned:
            _log.warning("%s", message)
            self._has_warned = True
