"""A line for every scan that a model was applied to, as a JSON object: done, or refused for what reason."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from simcrop.adapters.problems.verdicts import Stamp
from simcrop.adapters.system.files import append_line, whole_file
from simcrop.adapters.system.outside_files import parse_json
from simcrop.core.data.problems import Problem

Status = Literal["done", "refused"]


@dataclass(frozen=True)
class Entry:
    """What became of one scan.

    Attributes:
        scan: its name.
        status: done; or refused, for what `problem` says.
        seconds: of reading and resampling it.
        source: stamp of its file at that time.
        problem: why it was refused.
        notes: in what it looks unlike a chest that the model knows.
    """

    scan: str
    status: Status
    seconds: float
    source: Stamp
    problem: Problem | None = None
    notes: tuple[Problem, ...] = ()

    def as_row(self) -> dict[str, Any]:
        """As a line has it."""
        found = self.problem
        reason: dict[str, Any] = {}
        if found is not None:
            reason = {"code": found.code, "file": found.file, "message": found.message}
        if self.notes:
            reason["notes"] = [{"code": note.code, "file": note.file, "message": note.message} for note in self.notes]
        return {"scan": self.scan, "status": self.status, **reason, "seconds": self.seconds, "source": {**self.source}}


class Journal:
    """The lines so far. Lines that a kill cut off are passed over; of several of one scan the last counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[str, dict[str, Any]] = {}
        lines = path.read_bytes().splitlines() if path.exists() else []
        for line in lines:
            try:
                row = parse_json(line)
                self._rows[row["scan"]] = row
            except (ValueError, KeyError, TypeError):
                continue

    def is_done(self, scan: str, source: Stamp) -> bool:
        """Whether a scan is done, and its file still as it was then."""
        row = self._rows.get(scan, {})
        return row.get("status") == "done" and row.get("source") == dict(source)

    def add(self, entry: Entry) -> None:
        """Add a line. Raises OSError where the disk refuses."""
        self._rows[entry.scan] = entry.as_row()
        append_line(self.path, self._rows[entry.scan])

    def rewrite(self, scans: Sequence[str]) -> None:
        """Leave one line of each of these scans, in their order."""
        with whole_file(self.path) as file:
            file.writelines(json.dumps(self._rows[scan]).encode() + b"\n" for scan in scans if scan in self._rows)

    def refused(self, scans: Sequence[str]) -> list[Mapping[str, Any]]:
        """The lines of those that were refused."""
        rows = (self._rows.get(scan, {}) for scan in scans)
        return [row for row in rows if row.get("status") == "refused"]

    def unusual(self, scans: Sequence[str]) -> list[Mapping[str, Any]]:
        """The lines of those that are done and have notes."""
        rows = (self._rows.get(scan, {}) for scan in scans)
        return [row for row in rows if row.get("status") == "done" and row.get("notes")]
